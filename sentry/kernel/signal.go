package kernel

import (
	"encoding/binary"
	"math/bits"

	"golang.org/x/sys/unix"

	"ringfort/sentry/usermem"
)

// Signal numbers beyond package unix's.
const (
	SIGRTMIN  = 32 // of the kernel's ABI
	SignalMax = 64
)

// SignalSet is a set of signals: bit n-1 for signal n (sigset_t).
type SignalSet uint64

// SignalSetOf returns the set of the given signals.
func SignalSetOf(sigs ...unix.Signal) (s SignalSet) {
	for _, n := range sigs {
		s |= 1 << (n - 1)
	}
	return s
}

// Has reports whether sig is in s.
func (s SignalSet) Has(sig int32) bool { return s>>(uint(sig)-1)&1 != 0 }

// first returns the lowest signal in s, 0 if it is empty.
func (s SignalSet) first() int32 {
	if s == 0 {
		return 0
	}
	return int32(bits.TrailingZeros64(uint64(s))) + 1
}

var (
	unblockable = SignalSetOf(unix.SIGKILL, unix.SIGSTOP)
	stopSignals = SignalSetOf(unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU)
	// syncSignals are delivered before others (signal(7)).
	syncSignals    = SignalSetOf(unix.SIGSEGV, unix.SIGBUS, unix.SIGILL, unix.SIGTRAP, unix.SIGFPE, unix.SIGSYS)
	ignoredSignals = SignalSetOf(unix.SIGCHLD, unix.SIGURG, unix.SIGWINCH, unix.SIGCONT)
	coreSignals    = SignalSetOf(unix.SIGQUIT, unix.SIGILL, unix.SIGTRAP, unix.SIGABRT, unix.SIGBUS, unix.SIGFPE,
		unix.SIGSEGV, unix.SIGXCPU, unix.SIGXFSZ, unix.SIGSYS)
)

// Values of si_code (sigaction(2)).
const (
	SIUser   = 0
	SIKernel = 0x80
	SIQueue  = -1
	SITimer  = -2
	SITkill  = -6

	CldExited    = 1
	CldKilled    = 2
	CldDumped    = 3
	CldTrapped   = 4
	CldStopped   = 5
	CldContinued = 6
)

// SignalInfo is siginfo_t of x86-64 (128 bytes).
type SignalInfo struct {
	Signo  int32
	Errno  int32
	Code   int32
	_      int32
	Fields [112]byte
}

// PID returns si_pid.
func (i *SignalInfo) PID() int32 { return int32(binary.LittleEndian.Uint32(i.Fields[0:])) }

// UID returns si_uid.
func (i *SignalInfo) UID() uint32 { return binary.LittleEndian.Uint32(i.Fields[4:]) }

// SetSender sets si_pid and si_uid.
func (i *SignalInfo) SetSender(pid int32, uid uint32) {
	binary.LittleEndian.PutUint32(i.Fields[0:], uint32(pid))
	binary.LittleEndian.PutUint32(i.Fields[4:], uid)
}

// SetValue sets si_value of SI_QUEUE and SI_MESGQ.
func (i *SignalInfo) SetValue(v uint64) { binary.LittleEndian.PutUint64(i.Fields[8:], v) }

// SetTimer sets si_timerid, si_overrun and si_value of SI_TIMER.
func (i *SignalInfo) SetTimer(id, overrun int32, v uint64) {
	binary.LittleEndian.PutUint32(i.Fields[0:], uint32(id))
	binary.LittleEndian.PutUint32(i.Fields[4:], uint32(overrun))
	i.SetValue(v)
}

// SetAddr sets si_addr of a fault.
func (i *SignalInfo) SetAddr(a uintptr) { binary.LittleEndian.PutUint64(i.Fields[0:], uint64(a)) }

// Addr returns si_addr.
func (i *SignalInfo) Addr() uint64 { return binary.LittleEndian.Uint64(i.Fields[0:]) }

// SetChild sets the fields of SIGCHLD; times are in clock ticks.
func (i *SignalInfo) SetChild(pid int32, uid uint32, status int32, utime, stime int64) {
	i.SetSender(pid, uid)
	binary.LittleEndian.PutUint32(i.Fields[8:], uint32(status))
	binary.LittleEndian.PutUint64(i.Fields[16:], uint64(utime))
	binary.LittleEndian.PutUint64(i.Fields[24:], uint64(stime))
}

// SetPoll sets si_band and si_fd of SIGIO.
func (i *SignalInfo) SetPoll(band int64, fd int32) {
	binary.LittleEndian.PutUint64(i.Fields[0:], uint64(band))
	binary.LittleEndian.PutUint32(i.Fields[8:], uint32(fd))
}

// SetSyscall sets the fields of SIGSYS.
func (i *SignalInfo) SetSyscall(addr uint64, nr int32, arch uint32) {
	binary.LittleEndian.PutUint64(i.Fields[0:], addr)
	binary.LittleEndian.PutUint32(i.Fields[8:], uint32(nr))
	binary.LittleEndian.PutUint32(i.Fields[12:], arch)
}

// KernelSignal returns the info of a signal the kernel itself sends.
func KernelSignal(sig unix.Signal) *SignalInfo {
	return &SignalInfo{Signo: int32(sig), Code: SIKernel}
}

// SigAction is struct sigaction as rt_sigaction(2) passes it.
type SigAction struct {
	Handler  uint64
	Flags    uint64
	Restorer uint64
	Mask     SignalSet
}

// Special handlers and flags of sigaction(2).
const (
	SigDfl = 0
	SigIgn = 1

	saNoCldStop  = 1
	saNoCldWait  = 2
	saSigInfo    = 4
	saOnStack    = 0x08000000
	saRestart    = 0x10000000
	saNoDefer    = 0x40000000
	saResetHand  = 0x80000000
	saRestorer   = 0x04000000
	saUnsupp     = 0x400
	saExposeTags = 0x800
	saKnown      = saNoCldStop | saNoCldWait | saSigInfo | saOnStack | saRestart | saNoDefer | saResetHand | saRestorer | saExposeTags
)

// StackT is stack_t of sigaltstack(2).
type StackT struct {
	SP    uint64
	Flags uint32
	_     uint32
	Size  uint64
}

// Flags of StackT.
const (
	SSOnStack    = 1
	SSDisable    = 2
	SSAutodisarm = 1 << 31
)

// contains reports whether sp lies on the stack.
func (s *StackT) contains(sp uint64) bool {
	return s.Flags&SSDisable == 0 && s.Size > 0 && sp > s.SP && sp-s.SP <= s.Size
}

// pending are signals sent and not yet delivered. Guarded by ThreadGroup.sig.
type pending struct {
	set   SignalSet
	queue []SignalInfo
}

// add queues a copy of info. A standard signal that is pending already is dropped.
func (p *pending) add(info *SignalInfo) {
	if info.Signo < SIGRTMIN && p.set.Has(info.Signo) {
		return
	}
	p.set |= 1 << (info.Signo - 1)
	p.queue = append(p.queue, *info)
}

// take removes the first pending signal of a set, synchronous ones and then
// low numbers first; ok is false if there is none.
func (p *pending) take(want SignalSet) (got SignalInfo, ok bool) {
	have := p.set & want
	if have == 0 {
		return got, false
	}
	sig := (have & syncSignals).first()
	if sig == 0 {
		sig = have.first()
	}
	at, more := -1, false
	for i := range p.queue {
		if p.queue[i].Signo != sig {
			continue
		}
		if at >= 0 {
			more = true
			break
		}
		at = i
	}
	if at < 0 {
		p.set &^= 1 << (sig - 1)
		return got, false
	}
	got = p.queue[at]
	p.queue = append(p.queue[:at], p.queue[at+1:]...)
	if !more {
		p.set &^= 1 << (sig - 1)
	}
	return got, true
}

// discard drops pending signals of a set.
func (p *pending) discard(s SignalSet) {
	if p.set&s == 0 {
		return
	}
	kept := p.queue[:0]
	for _, i := range p.queue {
		if !s.Has(i.Signo) {
			kept = append(kept, i)
		}
	}
	p.queue = kept
	p.set &^= s
}

// CopyInSignalSet reads a sigset_t of the size the caller named (EINVAL unless 8).
func (t *Task) CopyInSignalSet(addr usermem.Addr, size uint64) (SignalSet, error) {
	if size != 8 {
		return 0, unix.EINVAL
	}
	s, err := usermem.CopyInVal[SignalSet](t.MM(), addr)
	return s, err
}
