package pipe

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"ringfort/sentry/ring"
	"ringfort/sentry/usermem"
	"ringfort/sentry/wait"
)

// Sizes in bytes (pipe(7), "Pipe capacity").
const (
	// AtomicSize is PIPE_BUF: shorter writes are not torn.
	AtomicSize = 4096
	// DefaultSize is the capacity of a new pipe.
	DefaultSize = 65536
	// MinSize is the smallest capacity F_SETPIPE_SZ gives.
	MinSize = usermem.PageSize
	// MaxSize is /proc/sys/fs/pipe-max-size: what a task without
	// CAP_SYS_RESOURCE may ask for.
	MaxSize = 1 << 20
	// HardMaxSize bounds what a privileged task may ask for.
	HardMaxSize = 1 << 26
)

// ids orders pipes for locking two of them.
var ids atomic.Uint64

// A Pipe is what lies between the two ends. Readers and writers may be any
// number of files (a FIFO).
type Pipe struct {
	id    uint64
	queue wait.Queue

	mu       sync.Mutex
	buf      ring.Buffer
	capacity uint64
	packets  []span // written in packet mode, in order

	readers, writers int
	// opened counts the opens for reading and writing so far; an open that waits
	// for the other side watches it (fifo(7)).
	readOpens, writeOpens uint64
}

// span is a packet: [start, end) in absolute positions.
type span struct{ start, end uint64 }

// New returns a pipe without ends.
func New() *Pipe {
	return &Pipe{id: ids.Add(1), capacity: DefaultSize}
}

// Size returns the capacity in bytes.
func (p *Pipe) Size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return int(p.capacity)
}

// SetSize changes the capacity to n bytes rounded up to a power of two of
// pages and returns it. EBUSY if more is buffered, EPERM above MaxSize unless
// privileged, EINVAL for a size no pipe can have.
func (p *Pipe) SetSize(n uint32, privileged bool) (int, error) {
	if n > 1<<31 {
		return 0, unix.EINVAL
	}
	size := uint64(max(n, MinSize))
	size = 1 << bits.Len64(size-1)
	if size > HardMaxSize || size > MaxSize && !privileged {
		return 0, unix.EPERM
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.buf.Len() > size {
		return 0, unix.EBUSY
	}
	wasFull := p.full()
	p.capacity = size
	p.buf.Shrink(size)
	if wasFull && !p.full() {
		p.queue.Notify(wait.Writable)
	}
	return int(size), nil
}

// full tells whether a writer is told to wait: there is no room for an atomic
// write. p.mu is held.
func (p *Pipe) full() bool { return p.capacity-p.buf.Len() < AtomicSize }

// readable returns how many bytes the next read may take, and how many it
// consumes if it takes them all or, of a packet, fewer. p.mu is held.
func (p *Pipe) readable() (n uint64, packet bool) {
	if len(p.packets) == 0 {
		return p.buf.Len(), false
	}
	first := p.packets[0]
	if first.start > p.buf.R {
		return first.start - p.buf.R, false
	}
	return first.end - p.buf.R, true
}

// consume drops n bytes, or all of a packet. p.mu is held.
func (p *Pipe) consume(n uint64, packet bool) {
	wasFull := p.full()
	if packet {
		n = p.packets[0].end - p.buf.R
		p.packets = p.packets[1:]
		if len(p.packets) == 0 {
			p.packets = nil
		}
	}
	p.buf.R += n
	if wasFull && !p.full() {
		p.queue.Notify(wait.Writable)
	}
}

// drain hands up to n readable bytes to fn, piece by piece, and consumes what
// fn took. It stops when fn takes less than it was given. EAGAIN if the pipe
// is empty and has writers; 0 if it has none. p.mu is held.
func (p *Pipe) drain(n uint64, fn func(b []byte) (int, error)) (int64, error) {
	avail, packet := p.readable()
	if avail == 0 {
		if p.writers == 0 {
			return 0, nil
		}
		return 0, unix.EAGAIN
	}
	n = min(n, avail)
	pos, end := p.buf.R, p.buf.R+n
	var err error
	for pos < end && err == nil {
		b := p.buf.At(pos, end-pos)
		var m int
		m, err = fn(b)
		m = min(max(m, 0), len(b))
		pos += uint64(m)
		if m < len(b) {
			break
		}
	}
	done := pos - p.buf.R
	if done == 0 {
		return 0, err
	}
	p.consume(done, packet)
	return int64(done), nil
}

// fill lets fn put up to n bytes into the free space, piece by piece, and
// keeps what it put. The caller has checked for readers and room. p.mu is held.
func (p *Pipe) fill(n uint64, packet bool, fn func(b []byte) (int, error)) (int64, error) {
	start := p.buf.W
	p.buf.Reserve(n)
	pos, end := start, start+n
	var err error
	for pos < end && err == nil {
		b := p.buf.At(pos, end-pos)
		var m int
		m, err = fn(b)
		m = min(max(m, 0), len(b))
		pos += uint64(m)
		if m < len(b) {
			break
		}
	}
	if pos == start {
		return 0, err
	}
	p.buf.W = pos
	if packet {
		p.packets = append(p.packets, span{start, pos})
	}
	p.queue.Notify(wait.Readable)
	return int64(pos - start), nil
}

// read reads once into dst.
func (p *Pipe) read(dst usermem.Seq) (int64, error) {
	n := dst.Len()
	if n == 0 {
		return 0, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.drain(uint64(n), func(b []byte) (int, error) {
		m, err := dst.CopyOut(b)
		dst = dst.Drop(m)
		return m, err
	})
}

// write writes what fits of src: all of it or nothing up to AtomicSize. EPIPE
// if there is no reader.
func (p *Pipe) write(src usermem.Seq, packet bool) (int64, error) {
	n := uint64(src.Len())
	if n == 0 {
		return 0, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var total int64
	for n > 0 {
		if p.readers == 0 {
			if total > 0 {
				return total, nil
			}
			return 0, unix.EPIPE
		}
		free := p.capacity - p.buf.Len()
		part := n
		if packet {
			part = min(part, AtomicSize)
		}
		if part > free && (part <= AtomicSize || free == 0) {
			if total > 0 {
				return total, nil
			}
			return 0, unix.EAGAIN
		}
		part = min(part, free)
		m, err := p.fill(part, packet, func(b []byte) (int, error) {
			m, err := src.CopyIn(b)
			src = src.Drop(m)
			return m, err
		})
		total += m
		n -= uint64(m)
		if uint64(m) < part {
			if total > 0 {
				return total, nil
			}
			return 0, err
		}
	}
	return total, nil
}

// buffered returns the number of bytes in the pipe (FIONREAD).
func (p *Pipe) buffered() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return int(p.buf.Len())
}
