package systrap

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"ringfort/platform/fdroom"
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
	freeCtls  numbers
	freeAreas numbers
	freeSets  numbers // of patchFile
	freeKnown numbers // of sites known of files; none is given back
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
	k.freeCtls.end, k.freeSets.end, k.freeAreas.end, k.freeKnown.end = maxStubs, maxStubs, maxAreas, maxKnown
	started := make(chan error)
	go k.bury(started)
	if err := <-started; err != nil {
		return nil, err
	}
	// What the host refuses is found out now.
	if err := k.confine(); err != nil {
		return nil, fmt.Errorf("template stub: %w", err)
	}
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
		// Of this thread's children, which all stubs are (CLONE_PARENT): where the host does not let us have a stub, those of
		// the ptrace platform are another thread's, and what we took of them it would wait for.
		pid, err := unix.Wait4(-1, &status, unix.WALL|unix.WNOTHREAD, nil)
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

// makeTemplate makes the process that all stubs are forked from: it has no memory but the stub's pages. It is a mapper
// then, and confine gives it the rest.
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
	for _, c := range [][]uintptr{
		{ctlAddr, ctlSize, unix.PROT_READ, shared, k.ctls.Fd(), at},
		{scratchAddr, scratchPage, unix.PROT_READ | unix.PROT_WRITE, shared, k.ctls.Fd(), at + ctlSize},
	} {
		if _, err := t.Call(codeAddr, regs, unix.SYS_MMAP, c...); err != nil {
			return fmt.Errorf("template stub: map its control block: %w", err)
		}
	}
	if k.xstate, k.xfeatures, err = xstateOf(t); err != nil {
		return err
	}
	return k.release(t, regs, p)
}

// confine gives the template a title, the handlers of all signals that matter and the mapper's filter. From then on there
// are fewer calls.
func (k *keeper) confine() error {
	p := k.root.template
	p.mu.Lock()
	defer p.mu.Unlock()
	scratch := (*[scratchPage / 8]uint64)(unsafe.Add(p.ctl(), ctlSize))
	defer clear(scratch[:])
	if err := p.setTitles(scratch[titleWords:]); err != nil {
		return err
	}
	// struct sigaction of the kernel: handler, flags, restorer, mask. The first word is scratchErr's.
	const handled, ignored, unblocked, filter = 0x10, 0x30, 0x50, 0x200
	const saSigInfo, saRestorer, saOnStack, saNoDefer = 0x4, 0x04000000, 0x08000000, 0x40000000
	copy(scratch[handled/8:], []uint64{uint64(stub.signal), saSigInfo | saRestorer | saOnStack | saNoDefer, uint64(stub.sigreturn), 0})
	var list []entry
	for _, sig := range []unix.Signal{unix.SIGSYS, unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGTRAP, interruptSignal} {
		list = append(list, entry{unix.SYS_RT_SIGACTION, uintptr(sig), scratchAddr + handled, 0, 8})
	}
	// What a terminal of the host or a person sends to the whole group is for the Sentry. The handlers that a stub would
	// have for it are those of the program it was forked from, which are gone.
	const sigIgn = 1
	copy(scratch[ignored/8:], []uint64{sigIgn, 0, 0, 0})
	for _, sig := range forTheSentry {
		list = append(list, entry{unix.SYS_RT_SIGACTION, uintptr(sig), scratchAddr + ignored, 0, 8})
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&scratch[filter/8])), 2048), mapperFilter().encode(scratchAddr+filter))
	return p.carryOut(append(list,
		entry{unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, scratchAddr + unblocked, 0, 8},
		entry{unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1},
		entry{unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, scratchAddr + filter}))
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

// numbers are those from 0 to end that are free, for parts of a file. Those that nobody has had yet are told apart: their
// pages are clear, and cost nothing until they are touched.
type numbers struct {
	next, end uint32
	back      []uint32
}

// take returns a number, fresh if it is the first time.
func (n *numbers) take() (i uint32, fresh, ok bool) {
	if l := len(n.back); l > 0 {
		i, n.back = n.back[l-1], n.back[:l-1]
		return i, false, true
	}
	if n.next == n.end {
		return 0, false, false
	}
	n.next++
	return n.next - 1, true, true
}

// give takes a number back.
func (n *numbers) give(i uint32) { n.back = append(n.back, i) }

// newProcess returns a process without a host process yet.
func (k *keeper) newProcess() (*process, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	slot, fresh, ok := k.freeCtls.take()
	if !ok {
		return nil, unix.EAGAIN
	}
	done, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		k.freeCtls.give(slot)
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	fdroom.Got(done)
	p := &process{k: k, slot: slot, done: done, home: nowhere}
	ctl := p.ctl()
	if !fresh {
		clear(unsafe.Slice((*byte)(ctl), ctlStride))
	}
	*(*uint64)(unsafe.Add(ctl, ctlDone)) = uint64(done)
	*(*uint64)(unsafe.Add(ctl, ctlFile)) = uint64(k.ctls.Fd())
	*(*uint64)(unsafe.Add(ctl, ctlGood)) = goodResult
	*(*uint64)(unsafe.Add(ctl, ctlBad)) = badResult
	return p, nil
}

// newArea returns a cleared area.
func (k *keeper) newArea() (uint32, area, error) {
	k.mu.Lock()
	i, fresh, ok := k.freeAreas.take()
	k.mu.Unlock()
	if !ok {
		return 0, area{}, unix.EAGAIN
	}
	a := area{unsafe.Add(k.areaMem, uintptr(i)*areaSize), areaAddr + uintptr(i)*areaSize}
	if !fresh {
		clear(a.bytes())
	}
	a.prepare()
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
	k.freeCtls.give(p.slot)
	for _, t := range p.threads {
		if t.listener > 0 {
			unix.Close(t.listener)
		}
		k.freeAreas.give(t.number)
	}
	p.threads = nil
}
