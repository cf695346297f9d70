package pipe

import (
	"golang.org/x/sys/unix"
)

// FillFrom lets fn put up to n bytes into the pipe (splice(2) to a pipe). fn
// is called with the pipe locked and must not touch it or wait. EAGAIN if the
// pipe is full, EPIPE if it has no reader; the error of fn if nothing was put.
func (p *Pipe) FillFrom(n uint64, fn func(b []byte) (int, error)) (int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.readers == 0 {
		return 0, unix.EPIPE
	}
	free := p.capacity - p.buf.Len()
	if free == 0 {
		return 0, unix.EAGAIN
	}
	return p.fill(min(n, free), false, fn)
}

// DrainTo hands up to n bytes of the pipe to fn and consumes what it took
// (splice(2) from a pipe), with the conditions of FillFrom. 0, nil is the end
// of a pipe without writers, EAGAIN an empty one.
func (p *Pipe) DrainTo(n uint64, fn func(b []byte) (int, error)) (int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.drain(n, fn)
}

// Transfer moves up to n bytes from one pipe to another, or with keep copies
// them (tee(2)). EINVAL if both are the same.
func Transfer(from, to *Pipe, n uint64, keep bool) (int64, error) {
	if from == to {
		return 0, unix.EINVAL
	}
	first, second := from, to
	if from.id > to.id {
		first, second = to, from
	}
	first.mu.Lock()
	defer first.mu.Unlock()
	second.mu.Lock()
	defer second.mu.Unlock()

	if to.readers == 0 {
		return 0, unix.EPIPE
	}
	avail := from.buf.Len()
	if avail == 0 {
		if from.writers == 0 {
			return 0, nil
		}
		return 0, unix.EAGAIN
	}
	free := to.capacity - to.buf.Len()
	if free == 0 {
		return 0, unix.EAGAIN
	}
	pos := from.buf.R
	done, err := to.fill(min(n, avail, free), false, func(b []byte) (int, error) {
		total := 0
		for total < len(b) {
			m := copy(b[total:], from.buf.At(pos, from.buf.W-pos))
			pos += uint64(m)
			total += m
		}
		return total, nil
	})
	if !keep {
		// Packet boundaries are lost on the way, as the bytes are merged.
		for len(from.packets) > 0 && from.packets[0].end <= from.buf.R+uint64(done) {
			from.packets = from.packets[1:]
		}
		if len(from.packets) > 0 && from.packets[0].start < from.buf.R+uint64(done) {
			from.packets[0].start = from.buf.R + uint64(done)
		}
		from.consume(uint64(done), false)
	}
	return done, err
}
