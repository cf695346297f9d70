package systrap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"ringfort/platform/unotify"
)

// entry is one host system call that a mapper is asked to make: number, six
// arguments, and for clone what the child starts with.
type entry [entryWords]uintptr

// process is a stub: a host process that is the memory of one application
// process. Its first thread, the mapper, changes that memory for the Sentry.
type process struct {
	k      *keeper
	family *family // that it serves
	pid    int
	slot   uint32
	done   int // eventfd written by the mapper

	dead   atomic.Bool
	buried atomic.Int32 // the second of died and kill frees

	mourn atomic.Pointer[func()] // see OnDeath

	mu      sync.Mutex // one request at a time
	seq     uint32
	home    int32 // the core the mapper is kept on
	idle    []*thread
	threads []*thread
	lineage *lineage // set by its last user's Release
	shown   bool     // the same: a table of names or a window is mapped
}

// thread is an application thread of a stub.
type thread struct {
	area
	p      *process
	number uint32 // of its area
	tid    int
	home   int32 // the core it is kept off, so that both sides can spin; or nowhere

	listener int // of its notifications
	note     unotify.Notification
	asleep   uint64 // ID of the notification it sleeps in, if we know
	reply    unotify.Reply
}

// ctl returns our view of the control block and scratch page.
func (p *process) ctl() unsafe.Pointer { return unsafe.Add(p.k.ctlMem, uintptr(p.slot)*ctlStride) }

// carryOut has the mapper make the calls in list, in order, and waits for it. All
// are tried; the error is that one failed. p.mu is held.
//
// One side has nothing to do while the other works, so they share a core: to wake
// another one takes ten times as long.
func (p *process) carryOut(list []entry) error {
	ctl := p.ctl()
	var failed error
	here := int32(core())
	if p.pid != 0 && p.home != here {
		setAffinity(p.pid, here)
		p.home = here
	}
	for len(list) > 0 {
		n := copy((*[maxEntries]entry)(unsafe.Add(ctl, ctlEntries))[:], list)
		list = list[n:]
		*(*uint32)(unsafe.Add(ctl, ctlCount)) = uint32(n)
		p.seq++
		seq := (*uint32)(unsafe.Add(ctl, ctlSeq))
		atomic.StoreUint32(seq, p.seq)
		futexWake(seq)
		if err := p.await(here); err != nil {
			failed = err
		}
	}
	return failed
}

// cedeLooks is how often the mapper is given the core before we sleep.
const cedeLooks = 6

// cede lets the mapper have the core, and reports whether it has answered. While others have it instead, and keep it, it
// does not.
func (p *process) cede() bool {
	rest, last := &p.k.pacer.cedeRest, tsc()
	if !rest.over(last) {
		return false
	}
	fds := []unix.PollFd{{Fd: int32(p.done), Events: unix.POLLIN}}
	for range cedeLooks {
		unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
		n, _, _ := unix.RawSyscall(unix.SYS_POLL, uintptr(unsafe.Pointer(&fds[0])), 1, 0)
		now := tsc()
		if now-last > awayTicks {
			rest.begin(last, now, maxYieldRest)
			return n != 0
		}
		if n != 0 {
			return true
		}
		last = now
	}
	return false
}

// await waits for the mapper's answer. If it does not come while the mapper is given our core, here, this thread is kept
// there until it is woken. The goroutine may go on in another thread then, which must not be the one that is let go.
func (p *process) await(here int32) error {
	if p.cede() {
		return p.answer()
	}
	self := unix.Gettid()
	setAffinity(self, here)
	defer p.k.pacer.roam(self)
	return p.answer()
}

// answer reads the mapper's answer, sleeping until it comes. Only the mapper, or our own died, can write it.
func (p *process) answer() error {
	var b [8]byte
	for {
		if p.dead.Load() {
			return errDead
		}
		n, err := unix.Read(p.done, b[:])
		if err == unix.EINTR {
			continue
		}
		if err != nil || n != len(b) {
			return fmt.Errorf("answer of a stub: %w", err)
		}
		break
	}
	switch v := binary.LittleEndian.Uint64(b[:]); {
	case p.dead.Load():
		return errDead
	case v != goodResult:
		errno := *(*uint64)(unsafe.Add(p.ctl(), ctlSize+scratchErr))
		return fmt.Errorf("map application memory: %w", unix.Errno(errno))
	}
	return nil
}

// newThread makes an application thread; it waits in its area.
func (p *process) newThread() (*thread, error) {
	i, a, err := p.k.newArea()
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	t := &thread{area: a, p: p, number: i, home: nowhere}
	p.threads = append(p.threads, t)
	const shared = unix.MAP_SHARED | unix.MAP_FIXED
	err = p.carryOut([]entry{
		{unix.SYS_MMAP, a.addr, areaSize, unix.PROT_READ | unix.PROT_WRITE, shared, p.k.areas.Fd(), uintptr(i) * areaSize},
		{unix.SYS_CLONE, threadFlags, 0, a.addr + offTID, 0, 0, 0, a.addr},
	})
	if err != nil {
		return nil, fmt.Errorf("make a stub thread: %w", err)
	}
	// The number stands in memory the application can write: it counts only if
	// it names a thread of this very process.
	t.tid = int(int32(atomic.LoadUint32(a.u32(offTID))))
	if t.tid <= 0 || unix.Tgkill(p.pid, t.tid, 0) != nil {
		return nil, fmt.Errorf("make a stub thread: %w", errDead)
	}
	p.k.pacer.roam(t.tid) // it is where the mapper is kept
	fd, err := t.confined()
	if err == nil {
		err = t.adopt(fd)
	}
	if err != nil {
		return nil, fmt.Errorf("make a stub thread: %w", err)
	}
	return t, nil
}

// confined returns what a new thread says is the descriptor of its listener.
func (t *thread) confined() (int, error) {
	fd := int32(atomic.LoadUint32(t.u32(offNotify)))
	if fd <= 0 {
		return 0, errors.New("the host refuses seccomp notifications (they need Linux 5.19)")
	}
	return int(fd), nil
}

// take returns an idle thread, made if there is none.
func (p *process) take() (*thread, error) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		t := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return t, nil
	}
	p.mu.Unlock()
	return p.newThread()
}

// busy returns how many threads have a context.
func (p *process) busy() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.threads) - len(p.idle)
}

// giveBack makes t, which waits in its area, available.
func (p *process) giveBack(t *thread) {
	p.mu.Lock()
	p.idle = append(p.idle, t)
	p.mu.Unlock()
}

// kill ends the host process. The caller uses p no more.
func (p *process) kill() {
	if !p.dead.Load() {
		unix.Kill(p.pid, unix.SIGKILL)
	}
	p.settle()
}

// end is kill, and waits until the host process runs no more.
func (p *process) end() {
	if !p.dead.Load() {
		unix.Kill(p.pid, unix.SIGKILL)
	}
	for !p.dead.Load() {
		fds := []unix.PollFd{{Fd: int32(p.done), Events: unix.POLLIN}} // died writes to it
		unix.Poll(fds, int(patience/time.Millisecond))
	}
	p.settle()
}

// died is called when the host process has ended, whoever ended it.
func (p *process) died() {
	p.dead.Store(true)
	var one [8]byte
	one[0] = 1
	unix.Write(p.done, one[:])
	p.tell()
	p.settle()
}

// tell has the kernel told of the process's end.
func (p *process) tell() {
	if f := p.mourn.Swap(nil); f != nil {
		(*f)()
	}
}

// settle frees p when both its user and the host have let go.
func (p *process) settle() {
	if p.buried.Add(1) == 2 {
		p.k.free(p)
	}
}
