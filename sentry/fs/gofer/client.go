package goferfs

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"ringfort/gofer/wire"
	"ringfort/platform/fdroom"
)

// FID is the number of a file at the gofer.
type FID uint32

// NoFID is no file.
const NoFID = FID(wire.NoFID)

const (
	maxCalls    = 256                     // requests under way at once
	clientSpin  = 60 * time.Microsecond   // how long to look for a reply before sleeping
	forgetBatch = 128                     // fids let go of in one message
	oobSize     = 16 + 4*wire.MaxListOpen // of the largest packet
)

// Client speaks to the gofer of one mount. All methods may be called by many tasks at once.
//
// Nobody but the callers reads the connection: of those who wait one leads, that is, reads replies and hands them out
// until its own comes, then another leads. So a lone caller sleeps in the host's recvmsg itself and no goroutine or
// thread has to be woken between the reply's coming and its use.
type Client struct {
	conn, fds *os.File // kept from being collected
	connFD    int
	donateFD  int
	mayspin   bool
	rester

	sendMu sync.Mutex // whole messages; guards forgets
	forget []FID

	callsMu sync.Mutex
	calls   [maxCalls]*call
	free    []uint16 // tags not in use
	tagCond sync.Cond
	leading bool
	dead    error

	fidMu    sync.Mutex
	nextFID  FID
	freeFIDs []FID

	in   []byte // of the leader: replies read and not yet handed out, in[r:w]
	r, w int
	oob  [oobSize]byte // of the leader: a control message of descriptors
}

// call is one request under way.
type call struct {
	tag     uint16
	done    bool      // reply is here, or the connection broke; set under callsMu
	waiting bool      // sleeping on wake
	wake    chan bool // true: lead; false: done
	typ     uint8
	reply   []byte
	fd      int   // donated, -1 if none
	fds     []int // all that were donated with ROpenMany or RList
	req     wire.Encoder
}

var callPool = sync.Pool{New: func() any { return &call{wake: make(chan bool, 1)} }}

// NewClient agrees on the protocol with the gofer at the other end of conn (stream) and fds (sequenced packets). It
// owns both files from then on.
func NewClient(conn, fds *os.File) (*Client, error) {
	c := &Client{
		conn: conn, fds: fds, connFD: int(conn.Fd()), donateFD: int(fds.Fd()),
		mayspin: runtime.NumCPU() > 1, in: make([]byte, 16<<10), nextFID: 1,
	}
	c.tagCond.L = &c.callsMu
	c.listener.Store(-1)
	for t := maxCalls - 1; t >= 0; t-- {
		c.free = append(c.free, uint16(t))
	}
	k := c.newCall()
	defer c.release(k)
	k.req.U32(wire.MessageSize)
	k.req.Str(wire.VersionExt)
	if err := c.do(k, wire.TVersion); err != nil {
		return nil, fmt.Errorf("greeting the gofer: %w", err)
	}
	d := wire.NewDecoder(k.reply)
	if msize, v := d.U32(), d.Str(); msize != wire.MessageSize || v != wire.VersionExt {
		return nil, fmt.Errorf("the gofer speaks %q with messages of %d bytes, wanted %q", v, msize, wire.VersionExt)
	}
	c.listen()
	return c, nil
}

// Close hangs up. Calls under way fail with EIO.
func (c *Client) Close() {
	c.fail(os.ErrClosed)
}

// newCall begins a request; release ends it. It waits while maxCalls are under way.
func (c *Client) newCall() *call {
	k := callPool.Get().(*call)
	c.callsMu.Lock()
	for len(c.free) == 0 {
		c.tagCond.Wait()
	}
	k.tag = c.free[len(c.free)-1]
	c.free = c.free[:len(c.free)-1]
	k.done, k.waiting, k.fd = false, false, -1
	c.calls[k.tag] = k
	c.callsMu.Unlock()
	k.req.Reset()
	return k
}

func (c *Client) release(k *call) {
	c.callsMu.Lock()
	c.calls[k.tag] = nil
	c.free = append(c.free, k.tag)
	c.callsMu.Unlock()
	c.tagCond.Signal()
	if cap(k.req.B) <= 8<<10 && cap(k.reply) <= 8<<10 {
		callPool.Put(k)
	}
}

// do sends the request and waits for its reply, which is in k.reply. The error is the gofer's errno, or EIO where the
// connection is gone.
func (c *Client) do(k *call, typ uint8) error {
	if typ == wire.TFsync {
		c.syncs.Add(1)
		defer c.syncs.Add(-1)
	}
	c.begin(k, typ)
	c.rouse()
	return c.end(k, typ)
}

// begin sends the request. That it failed end tells.
func (c *Client) begin(k *call, typ uint8) {
	k.req.Finish(0, typ, k.tag)
	if err := c.send(k.req.B); err != nil {
		c.fail(err)
	}
}

// end waits for the reply to a request of type typ that has begun.
func (c *Client) end(k *call, typ uint8) error {
	c.wait(k)
	switch {
	case k.typ == wire.RLError:
		d := wire.NewDecoder(k.reply)
		if e := unix.Errno(d.U32()); e > 0 && e < 4096 {
			return e
		}
		return unix.EIO
	case k.typ&^wire.Donated != (typ+1)&^wire.Donated:
		closeAll(k.fds)
		k.fd, k.fds = -1, k.fds[:0]
		return unix.EIO
	}
	return nil
}

// send writes a whole message, after telling which fids are done with if there are many.
func (c *Client) send(b []byte) error {
	c.sendMu.Lock()
	defer c.sendMu.Unlock()
	if len(c.forget) >= forgetBatch {
		if err := c.sendForgets(); err != nil {
			return err
		}
	}
	return c.write(b)
}

func (c *Client) write(b []byte) error {
	c.sent.Add(uint64(len(b)))
	for len(b) > 0 {
		n, err := unix.SendmsgN(c.connFD, b, nil, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
		switch {
		case err == unix.EAGAIN:
			c.stuck()
		case err == nil:
			b = b[n:]
		case err != unix.EINTR:
			return err
		}
	}
	return nil
}

// sendForgets tells the gofer about all forgotten fids; their numbers may be used again after it, because requests
// are handled in order. sendMu is held.
func (c *Client) sendForgets() error {
	var e wire.Encoder
	e.Reset()
	e.U16(uint16(len(c.forget)))
	for _, f := range c.forget {
		e.U32(uint32(f))
	}
	e.Finish(0, wire.TForget, wire.NoTag)
	err := c.write(e.B)
	c.fidMu.Lock()
	c.freeFIDs = append(c.freeFIDs, c.forget...)
	c.fidMu.Unlock()
	c.forget = c.forget[:0]
	return err
}

// Forget lets go of a fid, some time: it costs no round trip.
func (c *Client) Forget(f FID) {
	if f == NoFID {
		return
	}
	c.sendMu.Lock()
	defer c.sendMu.Unlock()
	c.forget = append(c.forget, f)
	if len(c.forget) >= 8*forgetBatch {
		_ = c.sendForgets() // a broken connection shows in the next call
	}
}

// newFID takes a number not in use.
func (c *Client) newFID() FID {
	c.fidMu.Lock()
	defer c.fidMu.Unlock()
	if n := len(c.freeFIDs); n > 0 {
		f := c.freeFIDs[n-1]
		c.freeFIDs = c.freeFIDs[:n-1]
		return f
	}
	c.nextFID++
	return c.nextFID
}

// unusedFID gives back a number the gofer never came to know.
func (c *Client) unusedFID(f FID) {
	if f == NoFID {
		return
	}
	c.fidMu.Lock()
	c.freeFIDs = append(c.freeFIDs, f)
	c.fidMu.Unlock()
}

// wait returns when k is done, leading if nobody else does.
func (c *Client) wait(k *call) {
	c.callsMu.Lock()
	for !k.done {
		if !c.leading && c.dead == nil {
			c.leading = true
			c.callsMu.Unlock()
			c.lead(k)
			return
		}
		if c.dead != nil {
			k.finish(wire.RLError, nil, nil)
			break
		}
		k.waiting = true
		c.callsMu.Unlock()
		if <-k.wake {
			c.lead(k) // leading was handed over
			return
		}
		c.callsMu.Lock()
	}
	c.callsMu.Unlock()
}

// finish makes the reply known to the owner of k. callsMu is held.
func (k *call) finish(typ uint8, body []byte, fds []int) {
	k.typ, k.fd, k.done = typ, -1, true
	k.fds = append(k.fds[:0], fds...)
	if len(fds) > 0 && mostDonated(typ) == 1 {
		k.fd = fds[0] // next saw to it that it is the only one
	}
	k.reply = append(k.reply[:0], body...)
	if k.waiting {
		k.waiting = false
		k.wake <- false
	}
}

// lead reads replies until k is done, then hands the lead to another that waits.
func (c *Client) lead(k *call) {
	for {
		c.callsMu.Lock()
		if k.done {
			c.handOver()
			c.callsMu.Unlock()
			return
		}
		c.callsMu.Unlock()
		typ, tag, body, fds, err := c.next()
		if err != nil {
			c.fail(err)
			continue
		}
		c.callsMu.Lock()
		var o *call
		if tag < maxCalls {
			o = c.calls[tag]
		}
		if o != nil && !o.done {
			o.finish(typ, body, fds)
		} else {
			closeAll(fds) // a reply nobody asked for
		}
		c.callsMu.Unlock()
	}
}

// handOver gives up the lead, to one that waits if there is any. callsMu is held.
func (c *Client) handOver() {
	c.leading = false
	if c.dead != nil {
		c.quit()
		return // all calls are done
	}
	for _, o := range c.calls {
		if o != nil && o.waiting && !o.done {
			o.waiting = false
			c.leading = true
			o.wake <- true
			return
		}
	}
}

// fail ends the connection: every call under way and to come gets EIO.
func (c *Client) fail(err error) {
	c.callsMu.Lock()
	defer c.callsMu.Unlock()
	if c.dead == nil {
		c.dead = err
		_ = unix.Shutdown(c.connFD, unix.SHUT_RDWR)
	}
	for _, o := range c.calls {
		if o != nil && !o.done {
			o.finish(wire.RLError, nil, nil)
		}
	}
	c.rouse() // to see that nobody is there any more
	if !c.leading {
		c.quit()
	}
}

// next reads the next reply; body and fds are valid until the following call. Only the leader calls it.
func (c *Client) next() (typ uint8, tag uint16, body []byte, fds []int, err error) {
	for {
		if c.w-c.r >= wire.HeaderSize {
			size, typ, tag := wire.Header(c.in[c.r:c.w])
			if size < wire.HeaderSize || size > wire.MessageSize {
				return 0, 0, nil, nil, fmt.Errorf("reply of %d bytes from the gofer", size)
			}
			if n := int(size); c.w-c.r >= n {
				body := c.in[c.r+wire.HeaderSize : c.r+n]
				c.r += n
				var fds []int
				// An Rlerror's number has no donation bit, an extension reply's may.
				if typ >= wire.TWalkAttr && typ&wire.Donated != 0 {
					if fds, err = c.takeDonated(tag, mostDonated(typ)); err != nil {
						return 0, 0, nil, nil, err
					}
				}
				return typ, tag, body, fds, nil
			} else if n > len(c.in) {
				in := make([]byte, n)
				c.w = copy(in, c.in[c.r:c.w])
				c.in, c.r = in, 0
			}
		}
		if c.r > 0 {
			c.w = copy(c.in, c.in[c.r:c.w])
			c.r = 0
		}
		n, err := c.recv(c.in[c.w:])
		if err != nil {
			return 0, 0, nil, nil, err
		}
		c.w += n
	}
}

// mostDonated is how many descriptors may come with a reply of a type.
func mostDonated(typ uint8) int {
	switch typ &^ wire.Donated {
	case wire.TOpenMany + 1:
		return wire.MaxOpenMany
	case wire.TList + 1:
		return wire.MaxListOpen
	}
	return 1
}

// recv reads replies from the connection. Only the leader calls it.
func (c *Client) recv(b []byte) (int, error) {
	get := c.recvSpinning
	if c.listener.Load() >= 0 {
		get = c.recvRested
	}
	n, err := get(b)
	if err == nil && n == 0 {
		err = fmt.Errorf("the gofer hung up")
	}
	return n, err
}

// recvSpinning is recv where the gofer has no listener.
func (c *Client) recvSpinning(b []byte) (int, error) {
	flags := 0
	var start time.Time
	if c.mayspin {
		flags, start = unix.MSG_DONTWAIT, time.Now()
	}
	for {
		n, _, err := unix.Recvfrom(c.connFD, b, flags)
		switch {
		case err == unix.EAGAIN && time.Since(start) > clientSpin:
			flags = 0
		case err != unix.EAGAIN && err != unix.EINTR:
			return n, err
		}
	}
}

// takeDonated receives the descriptors, one to most, that were sent before the reply with this tag.
func (c *Client) takeDonated(tag uint16, most int) ([]int, error) {
	var pkt [2]byte
	for {
		n, oobn, _, _, err := unix.Recvmsg(c.donateFD, pkt[:], c.oob[:], unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("receiving a descriptor: %w", err)
		}
		got := rights(c.oob[:oobn])
		if n != len(pkt) || uint16(pkt[0])|uint16(pkt[1])<<8 != tag || len(got) == 0 || len(got) > most {
			closeAll(got)
			return nil, fmt.Errorf("descriptor packet of %d bytes and %d descriptors does not belong to reply %d", n, len(got), tag)
		}
		fdroom.Got(got[len(got)-1])
		return got, nil
	}
}

// drain closes the descriptors of replies that were not read. Nobody leads.
func (c *Client) drain() {
	_ = unix.Shutdown(c.donateFD, unix.SHUT_RDWR) // no more are coming
	for {
		var pkt [2]byte
		n, oobn, _, _, err := unix.Recvmsg(c.donateFD, pkt[:], c.oob[:], unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			return
		}
		closeAll(rights(c.oob[:oobn]))
	}
}

// rights are the descriptors in a control message.
func rights(oob []byte) (fds []int) {
	if msgs, err := unix.ParseSocketControlMessage(oob); err == nil && len(msgs) > 0 {
		fds, _ = unix.ParseUnixRights(&msgs[0])
	}
	return fds
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
