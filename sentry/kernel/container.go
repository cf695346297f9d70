package kernel

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"ringfort/platform"
	"ringfort/sentry/auth"
	"ringfort/sentry/vfs"
)

// Container is what the processes of one container have in common: who counts
// them, what makes their address spaces, and whether they may run. A sandbox has
// one or more.
//
// mu is a leaf.
type Container struct {
	k        *Kernel
	id       string
	count    *TaskCount
	platform platform.Platform

	memory atomic.Int64 // limit in bytes, 0: none
	quota  atomic.Int64 // limit in thousandths of a processor, 0: none
	cpus   atomic.Uint64
	shares atomic.Uint64 // 0: as many as any other

	afterSleep func()
	lastSleep  atomic.Int64 // when it was last called

	mu      sync.Mutex
	paused  bool
	resumed *sync.Cond
}

// NewContainer returns a container without processes. Its tasks are counted by
// count (nil: without a limit) and run on p, nil for the sandbox's own platform.
func (k *Kernel) NewContainer(id string, count *TaskCount, p platform.Platform) *Container {
	if count == nil {
		count = NewTaskCount(0)
	}
	if p == nil {
		p = k.platform
	}
	c := &Container{k: k, id: id, count: count, platform: p}
	c.resumed = sync.NewCond(&c.mu)
	k.containers.Add(1)
	return c
}

// A program that sleeps for longSleep and looks again may be waiting for what comes from outside. Times in nanoseconds.
const (
	longSleep = 100e6
	sleepRate = 1e9
)

// AfterSleep has f called when a task has slept for a while, but at most once a second. It is set before the container has
// tasks; f must not block.
func (c *Container) AfterSleep(f func()) { c.afterSleep = f }

// slept calls what AfterSleep was given, if it is time.
func (c *Container) slept() {
	if c.afterSleep == nil {
		return
	}
	now, last := c.k.Monotonic(), c.lastSleep.Load()
	if now-last >= sleepRate && c.lastSleep.CompareAndSwap(last, now) {
		c.afterSleep()
	}
}

// ContainerOf returns the container whose files a caller sees, nil for the sandbox
// at large.
func ContainerOf(c vfs.Caller) *Container {
	if in, ok := c.(interface{ Container() *Container }); ok {
		return in.Container()
	}
	return nil
}

// Release says that the container has no processes any more and gets none.
func (c *Container) Release() { c.k.containers.Add(-1) }

// ID returns the name by which runsc knows the container.
func (c *Container) ID() string { return c.id }

// TaskCount returns the count of its tasks.
func (c *Container) TaskCount() *TaskCount { return c.count }

// Platform returns what runs its application code.
func (c *Container) Platform() platform.Platform { return c.platform }

// SetLimits notes what the host allows the container: bytes of memory and
// processors' worth of time, 0 for no limit. The host enforces them; programs are
// shown them.
func (c *Container) SetLimits(memory int64, cpus float64) {
	c.memory.Store(memory)
	if memory > 0 {
		c.k.memory.Spare(memory)
	}
	c.quota.Store(int64(cpus * 1000))
}

// MemoryLimit returns where the limit is kept, 0 for none.
func (c *Container) MemoryLimit() *atomic.Int64 { return &c.memory }

// Limits returns what SetLimits was told.
func (c *Container) Limits() (memory int64, cpus float64) {
	return c.memory.Load(), float64(c.quota.Load()) / 1000
}

// SetShares notes the weight that the host gives the container where processors are short, in the unit of cgroup v1's
// cpu.shares; 0 if nobody has set it.
func (c *Container) SetShares(n uint64) { c.shares.Store(n) }

// Shares returns what SetShares was told.
func (c *Container) Shares() uint64 { return c.shares.Load() }

// SetCPUs says which processors the host lets the container use, bit n for processor n; 0 for all.
func (c *Container) SetCPUs(mask uint64) { c.cpus.Store(mask) }

// CPUs returns the processors that the container's tasks may use.
func (c *Container) CPUs() uint64 {
	all := c.k.allCPUs()
	mask := c.cpus.Load()
	if mask == 0 {
		return all
	}
	if mask&all == 0 { // numbers beyond those applications see: as many of these
		return all & (1<<min(bits.OnesCount64(mask), 63) - 1)
	}
	return mask & all
}

// MemoryTotal returns what the container's processes see as the machine's memory.
func (c *Container) MemoryTotal() uint64 {
	if m := c.memory.Load(); m > 0 {
		return min(uint64(m), c.k.memTotal)
	}
	return c.k.memTotal
}

// MemoryUsed returns the bytes in use: exactly if the sandbox has no other
// container, else what its processes have mapped.
func (c *Container) MemoryUsed() uint64 {
	if c.k.containers.Load() <= 1 {
		return uint64(max(0, c.k.memory.Used()))
	}
	var n uint64
	for _, tg := range c.ThreadGroups() {
		if m := tg.Leader().MM(); m != nil {
			n += m.Usage().RSS
		}
	}
	return n
}

// ThreadGroups returns the processes of the container, in the order of their
// numbers in the root PID namespace.
func (c *Container) ThreadGroups() (list []*ThreadGroup) {
	for _, tg := range c.k.rootPIDNS.ThreadGroups() {
		if tg.container == c {
			list = append(list, tg)
		}
	}
	return list
}

// Signal sends a signal to every process of the container.
func (c *Container) Signal(sig int32) {
	for _, tg := range c.ThreadGroups() {
		tg.SendSignal(&SignalInfo{Signo: sig, Code: SIUser})
	}
}

// Pause stops the container's tasks at their next entry into the kernel, or
// their next return to user code, until Resume.
func (c *Container) Pause() {
	c.mu.Lock()
	c.paused = true
	c.mu.Unlock()
	for _, tg := range c.ThreadGroups() {
		for _, t := range tg.Tasks() {
			t.poke(attnPause)
		}
	}
}

// Resume lets paused tasks go on.
func (c *Container) Resume() {
	c.mu.Lock()
	c.paused = false
	c.resumed.Broadcast()
	c.mu.Unlock()
}

// Paused reports whether the container is paused.
func (c *Container) Paused() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.paused
}

// waitWhilePaused parks the calling task while the container is paused.
func (c *Container) waitWhilePaused() {
	c.mu.Lock()
	for c.paused {
		c.resumed.Wait()
	}
	c.mu.Unlock()
}

// PIDNamespaceOf returns the PID namespace whose numbers a caller uses, nil for
// the sandbox at large; UTSNamespaceOf and IPCNamespaceOf do so for theirs.
func PIDNamespaceOf(c vfs.Caller) *PIDNamespace {
	if in, ok := c.(interface{ PIDNS() *PIDNamespace }); ok {
		return in.PIDNS()
	}
	return nil
}

// UTSNamespaceOf is PIDNamespaceOf for names.
func UTSNamespaceOf(c vfs.Caller) *UTSNamespace {
	if in, ok := c.(interface{ UTSNS() *UTSNamespace }); ok {
		return in.UTSNS()
	}
	return nil
}

// IPCNamespaceOf is PIDNamespaceOf for System V IPC and message queues.
func IPCNamespaceOf(c vfs.Caller) *IPCNamespace {
	if in, ok := c.(interface{ IPCNS() *IPCNamespace }); ok {
		return in.IPCNS()
	}
	return nil
}

// NewPIDNS returns a PID namespace below the root one, for a container.
func (k *Kernel) NewPIDNS(u *auth.UserNamespace) *PIDNamespace {
	ns := newPIDNamespace(k.rootPIDNS, u)
	ns.inode = k.nsInode()
	return ns
}

// NewIPCNS returns an empty IPC namespace with one reference.
func (k *Kernel) NewIPCNS(u *auth.UserNamespace) *IPCNamespace { return newIPCNamespace(k, u) }
