package ptrace

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

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
	template *tracee.Tracee
	regs     arch.Registers // of the template, valid for every stub
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
		if len(k.pool) < poolSize {
			if s, err := k.makeStub(); err == nil {
				k.pool = append(k.pool, s)
				continue
			}
		}
		f := <-k.requests
		f()
	}
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
	k.template, k.regs = t, *regs
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

// makeStub forks the template and gives the child its batch pages and a thread.
func (k *keeper) makeStub() (*stub, error) {
	if len(k.slots) == 0 {
		return nil, unix.EAGAIN
	}
	var r arch.Registers
	pid, err := k.fork(&r)
	if err != nil {
		return nil, fmt.Errorf("fork a stub: %w", err)
	}
	t := &tracee.Tracee{PID: pid, TID: pid}
	if status, err := t.Wait(); err != nil || !status.Stopped() {
		return nil, fmt.Errorf("stub did not stop: status %#x: %v", uint32(status), err)
	}
	if err := t.Ptrace(unix.PTRACE_SETOPTIONS, 0, tracee.Options); err != nil {
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

// fork makes the template fork and returns the child, which is traced by us.
func (k *keeper) fork(r *arch.Registers) (int, error) {
	*r = k.regs
	r.Rip, r.Rax, r.OrigRax = stubCode+codeCall, unix.SYS_CLONE, ^uint64(0)
	r.Rdi, r.Rsi, r.Rdx, r.R10, r.R8 = unix.CLONE_FILES|uint64(unix.SIGCHLD), 0, 0, 0, 0
	if err := k.template.SetRegs(r); err != nil {
		return 0, err
	}
	for {
		if err := k.template.Ptrace(unix.PTRACE_CONT, 0, 0); err != nil {
			return 0, err
		}
		status, err := k.template.Wait()
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
	if err := k.template.GetRegs(r); err != nil {
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
func (k *keeper) newStub() (s *stub, err error) {
	k.do(func() {
		if n := len(k.pool); n > 0 {
			s = k.pool[n-1]
			k.pool = k.pool[:n-1]
			return
		}
		s, err = k.makeStub()
	})
	return s, err
}

// newThread makes a thread in s.
func (k *keeper) newThread(s *stub) (tid int, err error) {
	k.do(func() { tid, err = k.makeThread(s) })
	return tid, err
}

// destroy ends a stub; it does not wait for that.
func (k *keeper) destroy(s *stub) {
	k.requests <- func() {
		unix.Kill(s.keeper.PID, unix.SIGKILL)
		for {
			if status, err := s.keeper.Wait(); err != nil || !status.Stopped() {
				break
			}
		}
		k.slots = append(k.slots, s.slot)
	}
}
