package pipe

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/arch"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

// File is one end of a pipe, or both (a FIFO opened O_RDWR).
type File struct {
	vfs.FileBase
	pipe        *Pipe
	read, write bool
	// writesSeen is the pipe's writeOpens at open: a reader that never had a
	// writer is told of no hang-up (poll(2) of a FIFO).
	writesSeen uint64
}

// NewEnds returns the two ends of a new pipe.
func NewEnds() (r, w *File) {
	p := New()
	return p.open(true, false), p.open(false, true)
}

// open adds an end.
func (p *Pipe) open(read, write bool) *File {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := &File{pipe: p, read: read, write: write, writesSeen: p.writeOpens}
	if read {
		p.readers++
		p.readOpens++
	}
	if write {
		p.writers++
		p.writeOpens++
	}
	p.queue.Notify(wait.Internal)
	return f
}

// Pipe returns the pipe f is an end of.
func (f *File) Pipe() *Pipe { return f.pipe }

// Read takes what is there, or one packet.
func (f *File) Read(_ vfs.Caller, _ *vfs.Description, dst usermem.Seq, _ int64) (int64, error) {
	return f.pipe.read(dst)
}

// Write puts in what fits; without readers it raises SIGPIPE.
func (f *File) Write(c vfs.Caller, d *vfs.Description, src usermem.Seq, off int64) (int64, int64, error) {
	n, err := f.pipe.write(src, d.Flags()&unix.O_DIRECT != 0)
	if err == unix.EPIPE {
		c.SendSignal(int32(unix.SIGPIPE))
	}
	return n, off, err
}

// Poll follows poll(2): input while there is data, hang-up after the last
// writer, output while an atomic write fits, error after the last reader.
func (f *File) Poll(mask wait.Events) wait.Events {
	p := f.pipe
	p.mu.Lock()
	defer p.mu.Unlock()
	var ev wait.Events
	if f.read {
		if p.buf.Len() > 0 {
			ev |= wait.Readable
		}
		if p.writers == 0 && p.writeOpens != f.writesSeen {
			ev |= wait.HUp
		}
	}
	if f.write {
		if !p.full() {
			ev |= wait.Writable
		}
		if p.readers == 0 {
			ev |= wait.Err
		}
	}
	return ev & mask
}

// Queue returns the queue both ends share.
func (f *File) Queue() *wait.Queue { return &f.pipe.queue }

// Ioctl knows FIONREAD (TIOCINQ by its other name).
func (f *File) Ioctl(c vfs.Caller, _ *vfs.Description, cmd uint32, arg arch.Argument) (uintptr, error) {
	if cmd != unix.TIOCINQ {
		return 0, unix.ENOTTY
	}
	n := int32(f.pipe.buffered())
	return 0, usermem.CopyOutVal(c.Memory(), usermem.Addr(arg.Pointer()), &n)
}

// PipeSize is fcntl F_GETPIPE_SZ.
func (f *File) PipeSize() int { return f.pipe.Size() }

// SetPipeSize is fcntl F_SETPIPE_SZ.
func (f *File) SetPipeSize(c vfs.Caller, n uint32) (int, error) {
	return f.pipe.SetSize(n, c.Creds().HasRootCap(unix.CAP_SYS_RESOURCE))
}

// Release closes the end; when the last is gone the buffered bytes are too.
func (f *File) Release(vfs.Caller) {
	p := f.pipe
	p.mu.Lock()
	defer p.mu.Unlock()
	var ev wait.Events = wait.Internal
	if f.read {
		p.readers--
		if p.readers == 0 {
			ev |= wait.Err | wait.Writable
		}
	}
	if f.write {
		p.writers--
		if p.writers == 0 {
			ev |= wait.HUp | wait.Readable
		}
	}
	if p.readers == 0 && p.writers == 0 {
		p.buf.Reset()
		p.packets = nil
	}
	p.queue.Notify(ev)
}
