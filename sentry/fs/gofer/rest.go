package goferfs

import (
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"ringfort/gofer/wire"
	"ringfort/platform/unotify"
)

// A gofer with a listener (wire.TListen) sleeps where it can be woken on the caller's own core, which goes to sleep at once:
// the two take turns on one core. To wake one that is idle takes several times as long as what is asked for.
//
// The leader waits for the gofer to sleep again, and reads what it has sent by then.

// rester is what a Client knows about the sleep of its gofer.
type rester struct {
	listener  atomic.Int32         // descriptor of listening; -1: the gofer has none, or has ended
	listening *os.File             // kept from being collected
	asleep    atomic.Uint64        // ID of the notification in which the gofer sleeps; 0: it does not, as far as we know
	sent      atomic.Uint64        // bytes of requests written, or about to be
	syncs     atomic.Int32         // calls whose reply may come while the gofer sleeps
	note      unotify.Notification // of the leader
	dry       bool                 // of the leader: there was no more to be read when it last looked
	full      bool                 // of the leader: the gofer sleeps because it cannot send
}

// listen asks the gofer for a listener. Without one, or without wake-ups on one core, it sleeps in recvmsg.
func (c *Client) listen() {
	k := c.newCall()
	defer c.release(k)
	if c.do(k, wire.TListen) != nil || k.fd < 0 {
		return
	}
	if unotify.OneCore(k.fd) != 0 {
		unix.Close(k.fd) // which the gofer notices
		return
	}
	c.listening = os.NewFile(uintptr(k.fd), "listener")
	c.listener.Store(int32(k.fd))
}

// rouse wakes the gofer if it is known to sleep.
func (c *Client) rouse() bool {
	id := c.asleep.Swap(0)
	if id != 0 {
		_ = unotify.Answer(int(c.listener.Load()), &unotify.Reply{ID: id}) // ENOENT: it is awake, or gone
	}
	return id != 0
}

// recvRested is recv with a listener.
func (c *Client) recvRested(b []byte) (int, error) {
	for c.listener.Load() >= 0 {
		if c.dry {
			c.rest()
		}
		n, _, err := unix.Recvfrom(c.connFD, b, unix.MSG_DONTWAIT)
		c.dry = n < len(b)
		if c.full {
			c.full = false
			c.rouse()
		}
		if err != unix.EAGAIN && err != unix.EINTR {
			return n, err
		}
	}
	return c.recvSpinning(b)
}

// rest waits until the gofer sleeps, or until there may be something to read although it sleeps. It wakes the gofer again
// if there are requests that it has not seen. Only the leader calls it.
func (c *Client) rest() {
	fds := [2]unix.PollFd{{Fd: c.listener.Load(), Events: unix.POLLIN}, {Fd: int32(c.connFD)}}
	if c.asleep.Load() != 0 || c.syncs.Load() > 0 {
		fds[1].Events = unix.POLLIN // else only the end wakes us: what is sent would do so on another core
	}
	if _, err := unix.Poll(fds[:], -1); err != nil {
		return
	}
	switch got := fds[0].Revents; {
	case got&unix.POLLIN != 0:
		c.receive()
	case got != 0:
		c.listener.Store(-1) // the gofer has ended: the connection says so
	}
}

// receive notes that the gofer sleeps, which poll(2) has said. Only the leader calls it.
func (c *Client) receive() {
	c.note = unotify.Notification{}
	if unotify.Receive(int(c.listener.Load()), &c.note) != 0 {
		return // a signal woke it, it will sleep again
	}
	c.full = c.note.Args[1] != 0
	c.asleep.Store(c.note.ID)
	// Whoever sends now sees that it sleeps, or has told before that he was about to send.
	if c.sent.Load() > c.note.Args[0] {
		c.rouse()
	}
}

// quit closes the listener, which wakes a gofer that has just gone to sleep, and descriptors nobody will ask for. The
// connection has ended, nobody leads, and callsMu is held.
func (c *Client) quit() {
	c.drain()
	if c.listening != nil {
		c.listener.Store(-1)
		c.listening.Close()
		c.listening = nil
	}
}

// stuck is called when the gofer has to read before we can send. sendMu is held.
func (c *Client) stuck() {
	const look = 1 // ms
	c.rouse()
	c.prod()
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(c.connFD), Events: unix.POLLOUT}}, look)
}

// prod has the gofer look for requests although nobody may be waiting for a reply.
func (c *Client) prod() {
	c.callsMu.Lock()
	defer c.callsMu.Unlock()
	if c.leading || c.listener.Load() < 0 {
		return // the leader sees to it
	}
	fds := []unix.PollFd{{Fd: c.listener.Load(), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 0); n == 1 && err == nil && fds[0].Revents&unix.POLLIN != 0 {
		c.receive()
	}
	c.rouse()
}
