package systrap

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"ringfort/platform/tracee"
	"ringfort/sentry/arch"
)

const (
	// poolSize is how many ready stubs wait for the next fork or exec.
	poolSize = 3
	// maxStubs bounds the number of address spaces of a sandbox.
	maxStubs = 8192
)

// keeper makes and buries stubs.
//
// Lock order: family.filling, then template.mu, then mu.
type keeper struct {
	text, ctls, areas *os.File
	patchFile         *os.File
	ctlMem, areaMem   unsafe.Pointer
	patchMem          unsafe.Pointer
	pacer             *pacer
	hasClock          bool   // every stub has the clock page
	xstate            int    // size of the extended state in bytes
	xfeatures         uint64 // its components, XCR0
	titles            bool   // stubs have command lines

	root *family // of the sandbox itself

	mu        sync.Mutex
	freeCtls  []uint32
	freeAreas []uint32
	freeSets  []uint32 // of patchFile
	processes map[int]*process
	early     map[int]bool // ended before they were entered in processes
}

func newKeeper() (*keeper, error) {
	k := &keeper{pacer: newPacer(), processes: make(map[int]*process), early: make(map[int]bool)}
	var err error
	if k.text, err = memFile("ringfort-stub", textSize); err != nil {
		return nil, err
	}
	if _, err := k.text.WriteAt(stubText(), 0); err != nil {
		return nil, fmt.Errorf("write the stub's code: %w", err)
	}
	if k.ctls, k.ctlMem, err = sharedMemory("ringfort-ctl", maxStubs*ctlStride); err != nil {
		return nil, err
	}
	if k.areas, k.areaMem, err = sharedMemory("ringfort-threads", maxAreas*areaSize); err != nil {
		return nil, err
	}
	if k.patchFile, k.patchMem, err = sharedMemory("ringfort-patches", maxStubs*setSize); err != nil {
		return nil, err
	}
	// Nobody but us, who have mapped them, can ever write to them.
	for _, f := range []*os.File{k.text, k.patchFile} {
		if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_FUTURE_WRITE); err != nil {
			return nil, fmt.Errorf("seal %s: %w", f.Name(), err)
		}
	}
	for i := uint32(maxStubs); i > 0; i-- {
		k.freeCtls = append(k.freeCtls, i-1)
		k.freeSets = append(k.freeSets, i-1)
	}
	for i := uint32(maxAreas); i > 0; i-- {
		k.freeAreas = append(k.freeAreas, i-1)
	}
	started := make(chan error)
	go k.bury(started)
	if err := <-started; err != nil {
		return nil, err
	}
	// What the host refuses is found out now.
	return k, k.root.open()
}

func memFile(name string, size int64) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	return f, f.Truncate(size)
}

// sharedMemory makes a file and maps it whole.
func sharedMemory(name string, size int64) (*os.File, unsafe.Pointer, error) {
	f, err := memFile(name, size)
	if err != nil {
		return nil, nil, err
	}
	addr, _, errno := unix.Syscall6(unix.SYS_MMAP, 0, uintptr(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED, f.Fd(), 0)
	if errno != 0 {
		return nil, nil, fmt.Errorf("map %s: %w", name, errno)
	}
	return f, pointer(addr), nil
}

// bury makes the template and then waits for the end of stubs. It never ends,
// nor does its OS thread: that would be the template's end as well.
func (k *keeper) bury(started chan error) {
	runtime.LockOSThread()
	err := k.makeTemplate()
	started <- err
	if err != nil {
		return
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WALL, nil)
		if err != nil {
			if err == unix.EINTR {
				continue
			}
			return // no children: the template is gone, and no stub can be made
		}
		if !status.Exited() && !status.Signaled() {
			continue
		}
		k.mu.Lock()
		p := k.processes[pid]
		delete(k.processes, pid)
		if p == nil {
			k.early[pid] = true
		}
		k.mu.Unlock()
		if p != nil {
			p.died()
		}
	}
}

// forTheSentry are signals that stubs take no notice of. interruptSignal is not
// among them.
var forTheSentry = []unix.Signal{
	unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGPIPE, unix.SIGALRM, unix.SIGTSTP,
	unix.SIGTTIN, unix.SIGTTOU, unix.SIGPROF, unix.SIGWINCH, unix.SIGIO,
}

// makeTemplate makes the process that all stubs are forked from: it has no
// memory but the stub's pages, the handlers of all signals that matter and the
// mapper's filter.
func (k *keeper) makeTemplate() error {
	t, regs, err := tracee.NewTemplate(&tracee.Code{File: k.text, Addr: codeAddr, Size: textSize, Call: codeAddr})
	if err != nil {
		return err
	}
	p, err := k.newProcess()
	if err != nil {
		return err
	}
	at := uintptr(p.slot) * ctlStride
	const shared = unix.MAP_SHARED | unix.MAP_FIXED
	type call struct {
		what string
		nr   uintptr
		args []uintptr
	}
	calls := []call{
		{"map the control block", unix.SYS_MMAP, []uintptr{ctlAddr, ctlSize, unix.PROT_READ, shared, k.ctls.Fd(), at}},
		{"map the scratch page", unix.SYS_MMAP, []uintptr{scratchAddr, scratchPage, unix.PROT_READ | unix.PROT_WRITE, shared, k.ctls.Fd(), at + ctlSize}},
		{"unblock signals", unix.SYS_RT_SIGPROCMASK, []uintptr{unix.SIG_SETMASK, scratchAddr + 0x100, 0, 8}},
	}
	scratch := (*[scratchPage / 8]uint64)(unsafe.Add(k.ctlMem, at+ctlSize))
	// struct sigaction of the kernel: handler, flags, restorer, mask.
	const saSigInfo, saRestorer, saOnStack, saNoDefer = 0x4, 0x04000000, 0x08000000, 0x40000000
	copy(scratch[:], []uint64{uint64(stub.signal), saSigInfo | saRestorer | saOnStack | saNoDefer, uint64(stub.sigreturn), 0})
	for _, sig := range []unix.Signal{unix.SIGSYS, unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGTRAP, interruptSignal} {
		calls = append(calls, call{"handle " + sig.String(), unix.SYS_RT_SIGACTION, []uintptr{uintptr(sig), scratchAddr, 0, 8}})
	}
	// What a terminal of the host or a person sends to the whole group is for the Sentry. The handlers that a stub would
	// have for it are those of the program it was forked from, which are gone.
	const sigIgn = 1
	copy(scratch[8:], []uint64{sigIgn, 0, 0, 0})
	for _, sig := range forTheSentry {
		calls = append(calls, call{"ignore " + sig.String(), unix.SYS_RT_SIGACTION, []uintptr{uintptr(sig), scratchAddr + 8*8, 0, 8}})
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&scratch[64])), 2048), mapperFilter().encode(scratchAddr+64*8))
	calls = append(calls,
		call{"no_new_privs", unix.SYS_PRCTL, []uintptr{unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0}},
		call{"filter", unix.SYS_SECCOMP, []uintptr{unix.SECCOMP_SET_MODE_FILTER, 0, scratchAddr + 64*8}})
	for _, c := range calls {
		if c.nr == unix.SYS_PRCTL { // from here on there are fewer calls
			if err := k.setTitles(t, regs, scratch[titleWords:]); err != nil {
				return fmt.Errorf("template stub: %w", err)
			}
		}
		if _, err := t.Call(codeAddr, regs, c.nr, c.args...); err != nil {
			return fmt.Errorf("template stub: %s: %w", c.what, err)
		}
	}
	if k.xstate, k.xfeatures, err = xstateOf(t); err != nil {
		return err
	}
	clear(scratch[:])
	return k.release(t, regs, p)
}

// release lets the template go to its work.
func (k *keeper) release(t *tracee.Tracee, regs *arch.Registers, p *process) error {
	r := *regs
	r.Rip, r.OrigRax = uint64(stub.mapper), ^uint64(0)
	if err := t.SetRegs(&r); err != nil {
		return err
	}
	if err := t.Ptrace(unix.PTRACE_DETACH, 0, 0); err != nil {
		return fmt.Errorf("let the template stub go: %w", err)
	}
	p.pid = t.PID
	k.root = newFamily(k, p)
	k.mu.Lock()
	k.processes[p.pid] = p
	k.mu.Unlock()
	return nil
}

// xstateOf returns the size of the extended state and its components, which the
// kernel leaves where a signal frame has its marks.
func xstateOf(t *tracee.Tracee) (size int, features uint64, err error) {
	var buf [tracee.MaxXState]byte
	iov := unix.Iovec{Base: &buf[0], Len: uint64(len(buf))}
	if err := t.Ptrace(unix.PTRACE_GETREGSET, tracee.XState, uintptr(unsafe.Pointer(&iov))); err != nil {
		return 0, 0, fmt.Errorf("extended state of the processor: %w", err)
	}
	if iov.Len > xsaveMax {
		return 0, 0, fmt.Errorf("the processor's extended state takes %d bytes: more than %d are not provided for", iov.Len, xsaveMax)
	}
	return int(iov.Len), arch.XFeatures(buf[:iov.Len]), nil
}

// newProcess returns a process without a host process yet.
func (k *keeper) newProcess() (*process, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := len(k.freeCtls)
	if n == 0 {
		return nil, unix.EAGAIN
	}
	done, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	p := &process{k: k, slot: k.freeCtls[n-1], done: done, home: nowhere}
	k.freeCtls = k.freeCtls[:n-1]
	ctl := p.ctl()
	clear(unsafe.Slice((*byte)(ctl), ctlStride))
	*(*uint64)(unsafe.Add(ctl, ctlDone)) = uint64(done)
	*(*uint64)(unsafe.Add(ctl, ctlFile)) = uint64(k.ctls.Fd())
	*(*uint64)(unsafe.Add(ctl, ctlGood)) = goodResult
	*(*uint64)(unsafe.Add(ctl, ctlBad)) = badResult
	return p, nil
}

// newArea returns a cleared area.
func (k *keeper) newArea() (uint32, area, error) {
	k.mu.Lock()
	n := len(k.freeAreas)
	if n == 0 {
		k.mu.Unlock()
		return 0, area{}, unix.EAGAIN
	}
	i := k.freeAreas[n-1]
	k.freeAreas = k.freeAreas[:n-1]
	k.mu.Unlock()
	a := area{unsafe.Add(k.areaMem, uintptr(i)*areaSize), areaAddr + uintptr(i)*areaSize}
	a.reset()
	return i, a, nil
}

// free gives back what p used. Its host process is gone.
func (k *keeper) free(p *process) {
	unix.Close(p.done)
	if p.lineage != nil {
		p.lineage.release()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.freeCtls = append(k.freeCtls, p.slot)
	for _, t := range p.threads {
		if t.listener > 0 {
			unix.Close(t.listener)
		}
		k.freeAreas = append(k.freeAreas, t.number)
	}
	p.threads = nil
}
