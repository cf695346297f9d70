package systrap

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"ringfort/platform"
)

// A few changes of mappings are made by the application's own thread on its way
// back, which saves waking the mapper. Each is a seccomp notification that the
// Sentry compares with what it asked for; the next notification of the same
// thread proves that they were tried. Whether they failed stands in memory the
// application can write, so nothing may depend on it but the application.

// carried are the changes under way.
type carried struct {
	wanted bool // the kernel lets the next Switch carry the queue
	done   bool // the last Switch did, and it is proven
	n      int
	list   [maxCarried]entry
}

// Carry implements platform.Carrier.
func (c *context) Carry(as platform.AddressSpace) bool {
	s := as.(*space)
	c.carried.wanted = c.space == s && s.short()
	return c.carried.wanted
}

// Carried implements platform.Carrier.
func (c *context) Carried() bool {
	return c.carried.done && c.space != nil && !c.space.pending.Load()
}

// pack puts what is to be carried into the area. It reports whether there is
// anything.
func (c *context) pack(t *thread) bool {
	k := &c.carried
	if !k.wanted {
		return false
	}
	k.wanted = false
	n, ok := c.space.take(&k.list)
	if !ok || n == 0 {
		return false
	}
	k.n = n
	to := (*[maxCarried][entryWords - 1]uintptr)(unsafe.Add(t.mem, offEntries))
	for i := range n {
		copy(to[i][:], k.list[i][:entryWords-1])
	}
	*t.u32(offMapCount) = uint32(n)
	*t.u64(offMapError) = 0
	return true
}

// oversee lets the thread make the calls it was given.
func (c *context) oversee(t *thread) error {
	for i := range c.carried.n {
		if err := t.permit(&c.carried.list[i]); err != nil {
			return err
		}
	}
	return nil
}

// prove is called when the thread has handed over again.
func (c *context) prove(t *thread) error {
	if c.carried.n == 0 {
		return nil
	}
	c.carried.n = 0
	if e := atomic.LoadUint64(t.u64(offMapError)); e != 0 {
		return fmt.Errorf("map application memory: %w", unix.Errno(-e))
	}
	c.carried.done = true
	return nil
}
