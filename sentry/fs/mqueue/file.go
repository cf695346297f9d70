package mqueue

import (
	"fmt"

	"golang.org/x/sys/unix"

	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

// lineSize is the size a queue has as a file (FILENT_SIZE of Linux).
const lineSize = 80

// Stat tells everything.
func (q *Queue) Stat(_ vfs.Caller, st *unix.Statx_t) error {
	q.FillStat(st)
	q.fill(st)
	st.Size = lineSize
	return nil
}

// SetAttr changes mode and owner. A truncation, which an open for writing may ask for, changes nothing.
func (q *Queue) SetAttr(c vfs.Caller, a *vfs.SetAttr) error {
	q.ApplyAttr(a)
	q.stamp(c)
	return nil
}

// Open opens the queue.
func (q *Queue) Open(vfs.Caller, vfs.Path, uint32) (vfs.File, error) { return &File{q: q}, nil }

// File is an open queue, a message queue descriptor.
type File struct {
	vfs.FileBase
	q *Queue
}

// MessageQueue returns the queue.
func (f *File) MessageQueue() *Queue { return f.q }

// sigevSignal is SIGEV_SIGNAL (sigevent(7)).
const sigevSignal = 0

// viewer is a task, which knows processes by numbers of its own.
type viewer interface{ NumberOf(process any) int32 }

// Read reads the line that describes the state of the queue (mq_overview(7)).
func (f *File) Read(c vfs.Caller, _ *vfs.Description, dst usermem.Seq, off int64) (int64, error) {
	if off < 0 {
		return 0, unix.EINVAL
	}
	q := f.q
	q.mu.Lock()
	size, kind, signo, pid := q.bytes, int32(0), int32(0), int32(0)
	if n := q.notify; n != nil {
		kind = n.Kind
		if n.Kind == sigevSignal {
			signo = n.Signo
		}
		if v, ok := c.(viewer); ok {
			pid = v.NumberOf(n.Owner)
		}
	}
	q.mu.Unlock()
	line := fmt.Sprintf("QSIZE:%-10d NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n", size, kind, signo, pid)
	if off >= int64(len(line)) {
		return 0, nil
	}
	n, err := dst.CopyOut([]byte(line[off:min(int64(len(line)), off+int64(dst.Len()))]))
	return int64(n), err
}

// Seek moves in the line.
func (f *File) Seek(_ vfs.Caller, _ *vfs.Description, off int64, whence int32, cur int64) (int64, error) {
	return vfs.SeekSize(off, whence, cur, lineSize)
}

// Poll says readable while there are messages, writable while there is room.
func (f *File) Poll(mask wait.Events) wait.Events {
	f.q.mu.Lock()
	defer f.q.mu.Unlock()
	var ev wait.Events
	if len(f.q.msgs) > 0 {
		ev |= wait.Readable
	}
	if len(f.q.msgs) < int(f.q.attr.MaxMsg) {
		ev |= wait.Writable
	}
	return ev & mask
}

// Queue is notified when messages come and go.
func (f *File) Queue() *wait.Queue { return &f.q.poll }

// process is a task, which belongs to a process.
type process interface{ ProcessName() any }

// Flush takes back the closing process's request to be notified (mq_notify(2)).
func (f *File) Flush(c vfs.Caller) error {
	if p, ok := c.(process); ok {
		f.q.Unnotify(p.ProcessName())
	}
	return nil
}
