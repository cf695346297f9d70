package ptrace

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"ringfort/platform"
	"ringfort/platform/tracee"
	"ringfort/sentry/arch"
)

// poolSize is how many ready stubs wait for the next fork or exec.
const poolSize = 2

// keeper makes and ends stubs. All its work is done by one goroutine on one
// OS thread, the tracer of every stub's first thread.
type keeper struct {
	requests chan func()
	code     *os.File       // the code page
	batch    *os.File       // batch pages of all stubs
	mem      unsafe.Pointer // the Sentry's mapping of batch
	slots    []uint32       // free batch slots
	regs     arch.Registers // of the template, valid for every stub
	root     *family        // of the sandbox itself
	families []*family      // all whose pools are kept full
}

// family is a template, and ready stubs forked from it. What the host charges to
// the template's cgroups from then on it charges stubs to as well.
type family struct {
	k        *keeper
	template *tracee.Tracee // nil once it has ended
	pool     []*stub
}

// maxStubs bounds the number of address spaces of a sandbox.
const maxStubs = 32768

// stub is a host process that is one application's address space.
type stub struct {
	keeper *tracee.Tracee
	slot   uint32
	ready  int // a parked thread nobody uses yet, 0 if none
}

func newKeeper() (*keeper, error) {
	k := &keeper{requests: make(chan func(), 64)}
	var err error
	if k.code, err = memFile("ringfort-stub", 0x1000); err != nil {
		return nil, err
	}
	if _, err := k.code.WriteAt(stubText(), 0); err != nil {
		return nil, fmt.Errorf("write the stub's code: %w", err)
	}
	if k.batch, err = memFile("ringfort-batch", maxStubs*batchLen); err != nil {
		return nil, err
	}
	addr, _, errno := unix.Syscall6(unix.SYS_MMAP, 0, maxStubs*batchLen, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED, k.batch.Fd(), 0)
	if errno != 0 {
		return nil, fmt.Errorf("map the batch pages: %w", errno)
	}
	k.mem = *(*unsafe.Pointer)(unsafe.Pointer(&addr))
	for i := uint32(maxStubs); i > 0; i-- {
		k.slots = append(k.slots, i-1)
	}
	started := make(chan error)
	go k.run(started)
	return k, <-started
}

func memFile(name string, size int64) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	return f, f.Truncate(size)
}

// run is the keeper's goroutine. It never ends: its OS thread's end would kill
// every stub.
func (k *keeper) run(started chan error) {
	runtime.LockOSThread()
	err := k.makeTemplate()
	started <- err
	if err != nil {
		return
	}
	for {
		// Refill the pool only when nobody waits.
		select {
		case f := <-k.requests:
			f()
			continue
		default:
		}
		if k.fillOne() {
			continue
		}
		f := <-k.requests
		f()
	}
}

// fillOne makes a stub for a pool that is not full.
func (k *keeper) fillOne() bool {
	for _, f := range k.families {
		if len(f.pool) >= poolSize {
			continue
		}
		if s, err := k.makeStub(f); err == nil {
			f.pool = append(f.pool, s)
			return true
		}
	}
	return false
}

// do runs f on the keeper's thread and waits for it.
func (k *keeper) do(f func()) {
	done := make(chan struct{})
	k.requests <- func() { f(); close(done) }
	<-done
}

// makeTemplate makes the process that all stubs are forked from.
func (k *keeper) makeTemplate() error {
	t, regs, err := tracee.NewTemplate(&tracee.Code{File: k.code, Addr: stubCode, Size: 0x1000, Call: stubCode + codeCall})
	if err != nil {
		return err
	}
	if err := t.Ptrace(unix.PTRACE_SETOPTIONS, 0, tracee.Options|unix.PTRACE_O_TRACEFORK); err != nil {
		return fmt.Errorf("trace the template stub: %w", err)
	}
	k.regs = *regs
	k.root = &family{k: k, template: t}
	k.families = []*family{k.root}
	if err := k.mapBatch(t, 0); err != nil {
		return err
	}
	return k.confine(t)
}

// mapBatch maps the batch pages of a slot into a stub, read-only.
func (k *keeper) mapBatch(t *tracee.Tracee, slot uint32) error {
	_, err := t.Call(stubCode+codeCall, &k.regs, unix.SYS_MMAP, stubBatch, batchLen, unix.PROT_READ,
		unix.MAP_SHARED|unix.MAP_FIXED, k.batch.Fd(), uintptr(slot)*batchLen)
	if err != nil {
		return fmt.Errorf("map the stub's batch pages: %w", err)
	}
	return nil
}

// slot returns the Sentry's view of a slot's batch pages.
func (k *keeper) slot(n uint32) *[batchMax][requestWords]uintptr {
	return (*[batchMax][requestWords]uintptr)(unsafe.Add(k.mem, uintptr(n)*batchLen))
}

// child forks the template of a family; the child is stopped.
func (k *keeper) child(f *family, options uintptr) (*tracee.Tracee, error) {
	if f.template == nil {
		return nil, platform.ErrDead
	}
	var r arch.Registers
	pid, err := k.fork(f.template, &r)
	if err != nil {
		return nil, fmt.Errorf("fork a stub: %w", err)
	}
	t := &tracee.Tracee{PID: pid, TID: pid}
	if status, err := t.Wait(); err != nil || !status.Stopped() {
		return nil, fmt.Errorf("stub did not stop: status %#x: %v", uint32(status), err)
	}
	return t, t.Ptrace(unix.PTRACE_SETOPTIONS, 0, options)
}

// makeStub forks the template of a family and gives the child its batch pages and
// a thread.
func (k *keeper) makeStub(f *family) (*stub, error) {
	if len(k.slots) == 0 {
		return nil, unix.EAGAIN
	}
	t, err := k.child(f, tracee.Options)
	if err != nil {
		return nil, err
	}
	n := len(k.slots) - 1
	s := &stub{keeper: t, slot: k.slots[n]}
	k.slots = k.slots[:n]
	if err := k.mapBatch(t, s.slot); err != nil {
		return nil, err
	}
	s.ready, err = k.makeThread(s)
	return s, err
}

// fork makes a template fork and returns the child, which is traced by us.
func (k *keeper) fork(template *tracee.Tracee, r *arch.Registers) (int, error) {
	*r = k.regs
	r.Rip, r.Rax, r.OrigRax = stubCode+codeCall, unix.SYS_CLONE, ^uint64(0)
	r.Rdi, r.Rsi, r.Rdx, r.R10, r.R8 = unix.CLONE_FILES|uint64(unix.SIGCHLD), 0, 0, 0, 0
	if err := template.SetRegs(r); err != nil {
		return 0, err
	}
	for {
		if err := template.Ptrace(unix.PTRACE_CONT, 0, 0); err != nil {
			return 0, err
		}
		status, err := template.Wait()
		if err != nil {
			return 0, err
		}
		if !status.Stopped() {
			return 0, fmt.Errorf("template stub ended: status %#x", uint32(status))
		}
		if uint32(status)>>16 == 0 && status.StopSignal() == unix.SIGTRAP {
			break
		}
	}
	if err := template.GetRegs(r); err != nil {
		return 0, err
	}
	if r.Rax > ^uint64(4095) {
		return 0, unix.Errno(-r.Rax)
	}
	return int(r.Rax), nil
}

// threadFlags are those of pthread_create(3), and no tracing by us: the thread
// is for another OS thread to trace.
const threadFlags = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND |
	unix.CLONE_THREAD | unix.CLONE_SYSVSEM | unix.CLONE_UNTRACED

// makeThread makes a thread in s; it parks in pause(2) until seized.
func (k *keeper) makeThread(s *stub) (int, error) {
	tid, err := s.keeper.Call(stubCode+codeClone, &k.regs, unix.SYS_CLONE, threadFlags, 0, 0, 0, 0)
	if err != nil {
		return 0, fmt.Errorf("make a stub thread: %w", err)
	}
	return int(tid), nil
}

// newStub takes a stub from the pool or makes one.
func (f *family) newStub() (s *stub, err error) {
	f.k.do(func() {
		if n := len(f.pool); n > 0 {
			s = f.pool[n-1]
			f.pool = f.pool[:n-1]
			return
		}
		s, err = f.k.makeStub(f)
	})
	return s, err
}

// newFamily makes a family whose template is forked from that of from. Its pool
// is filled once the first stub has been asked for (keep), so that the caller can
// move the template to other cgroups first.
func (k *keeper) newFamily(from *family) (f *family, err error) {
	k.do(func() {
		var t *tracee.Tracee
		if t, err = k.child(from, tracee.Options|unix.PTRACE_O_TRACEFORK); err == nil {
			f = &family{k: k, template: t}
		}
	})
	return f, err
}

// keep has the pool of f kept full from now on.
func (f *family) keep() {
	f.k.do(func() {
		if f.template != nil && !slices.Contains(f.k.families, f) {
			f.k.families = append(f.k.families, f)
		}
	})
}

// close ends the template and the stubs that wait.
func (f *family) close() {
	f.k.do(func() {
		if f.template == nil {
			return
		}
		f.k.families = slices.DeleteFunc(f.k.families, func(o *family) bool { return o == f })
		for _, s := range f.pool {
			f.k.bury(s)
		}
		f.pool = nil
		end(f.template)
		f.template = nil
	})
}

// end kills a traced process and waits for it.
func end(t *tracee.Tracee) {
	unix.Kill(t.PID, unix.SIGKILL)
	for {
		if status, err := t.Wait(); err != nil || !status.Stopped() {
			return
		}
	}
}

// bury ends a stub and gives back what it used.
func (k *keeper) bury(s *stub) {
	end(s.keeper)
	k.slots = append(k.slots, s.slot)
}

// newThread makes a thread in s.
func (k *keeper) newThread(s *stub) (tid int, err error) {
	k.do(func() { tid, err = k.makeThread(s) })
	return tid, err
}

// destroy ends a stub; it does not wait for that.
func (k *keeper) destroy(s *stub) {
	k.requests <- func() { k.bury(s) }
}
