package pipe

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

// OpenFIFO opens the FIFO in with the flags of open(2). As fifo(7) says, an
// open for reading waits for a writer and one for writing for a reader; with
// O_NONBLOCK the first succeeds at once and the second fails with ENXIO if
// there is no reader; O_RDWR never waits, nor does who opens a pipe of pipe(2)
// once more (/proc/PID/fd).
func OpenFIFO(c vfs.Caller, in vfs.Inode, flags uint32) (vfs.File, error) {
	p, ok := in.Base().EndpointOr(func() any { return New() }).(*Pipe)
	if !ok {
		return nil, unix.ENXIO
	}
	if _, nameless := in.(*vfs.AnonInode); nameless {
		return p.openAgain(flags), nil
	}
	return p.openFlags(c, flags)
}

// openAgain adds an end to a pipe that has had both.
func (p *Pipe) openAgain(flags uint32) *File {
	mode := flags & unix.O_ACCMODE
	f := p.open(mode != unix.O_WRONLY, mode != unix.O_RDONLY)
	p.mu.Lock()
	f.writesSeen = p.writeOpens - 1
	p.mu.Unlock()
	return f
}

func (p *Pipe) openFlags(c vfs.Caller, flags uint32) (vfs.File, error) {
	switch flags & unix.O_ACCMODE {
	case unix.O_RDWR:
		return p.open(true, true), nil
	case unix.O_WRONLY:
		if flags&unix.O_NONBLOCK != 0 && !p.hasReaders() {
			return nil, unix.ENXIO
		}
		f := p.open(false, true)
		if flags&unix.O_NONBLOCK != 0 {
			return f, nil
		}
		if err := p.await(c, f, func() bool { return p.readers > 0 }, &p.readOpens); err != nil {
			return nil, err
		}
		return f, nil
	default:
		f := p.open(true, false)
		if flags&unix.O_NONBLOCK != 0 {
			return f, nil
		}
		if err := p.await(c, f, func() bool { return p.writers > 0 }, &p.writeOpens); err != nil {
			return nil, err
		}
		// Whoever waited for a writer had one, though it may be gone by now:
		// then poll says hang-up.
		p.mu.Lock()
		f.writesSeen = p.writeOpens - 1
		p.mu.Unlock()
		return f, nil
	}
}

func (p *Pipe) hasReaders() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.readers > 0
}

// await blocks until the other side is there, or has been since the call
// (counter moved). On failure f is closed.
func (p *Pipe) await(c vfs.Caller, f *File, there func() bool, counter *uint64) error {
	w := wait.Waiter{To: c}
	p.queue.Add(&w, wait.Internal)
	defer w.Remove()
	p.mu.Lock()
	before := *counter
	for !there() && *counter == before {
		p.mu.Unlock()
		if err := c.Block(wait.NoDeadline); err != nil {
			w.Remove()
			f.Release(c)
			return err
		}
		p.mu.Lock()
	}
	p.mu.Unlock()
	return nil
}
