package kernel

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/bpf"

	"ringfort/sentry/arch"
)

// SeccompFilter is a seccomp filter program (seccomp(2)).
type SeccompFilter struct {
	Program bpf.Program
	// Match, if not nil, is used instead of Program: the filter of a container's
	// specification. It returns a SECCOMP_RET_* value.
	Match func(nr uintptr, args *arch.SyscallArguments) uint32
}

// seccompState is a task's filters, newest first. It never changes; a new
// filter makes a new state.
type seccompState struct {
	filters []*SeccompFilter
	strict  bool
	insns   int
}

// Limits of seccomp(2) and values of struct seccomp_data.
const (
	seccompMaxInsns = 32768 // MAX_INSNS_PER_PATH
	auditArchX86_64 = 0xc000003e

	actKillProcess = 0x80000000
	actKillThread  = 0
	actTrap        = 0x00030000
	actErrno       = 0x00050000
	actNotify      = 0x7fc00000
	actTrace       = 0x7ff00000
	actLog         = 0x7ffc0000
	actAllow       = 0x7fff0000
	actMask        = 0xffff0000
)

// SeccompMode returns 0, 1 (strict) or 2 (filter), and the number of filters.
func (t *Task) SeccompMode() (mode, filters int) {
	s := t.seccomp.Load()
	switch {
	case s == nil:
		return 0, 0
	case s.strict:
		return 1, 0
	}
	return 2, len(s.filters)
}

// SetSeccompStrict is SECCOMP_SET_MODE_STRICT; EINVAL if a filter is installed.
func (t *Task) SetSeccompStrict() error {
	if s := t.seccomp.Load(); s != nil && !s.strict {
		return unix.EINVAL
	}
	t.seccomp.Store(&seccompState{strict: true})
	t.withdrawAnswers()
	return nil
}

// AddSeccompFilter is SECCOMP_SET_MODE_FILTER for t or, with sync, for all its
// process's threads. With sync it returns the ID of a thread that stands in the way.
func (t *Task) AddSeccompFilter(insns []bpf.Instruction, sync bool) (int32, error) {
	if !loadsAllowed(insns) {
		return 0, unix.EINVAL
	}
	p, err := bpf.Compile(insns, true)
	if err != nil {
		return 0, unix.EINVAL
	}
	f := &SeccompFilter{Program: p}
	if !sync {
		return 0, t.addSeccomp(f)
	}
	t.k.tree.RLock()
	defer t.k.tree.RUnlock()
	mine := t.seccomp.Load()
	for _, o := range t.tg.tasks {
		if o != t && !descends(mine, o.seccomp.Load()) {
			return o.TID(), nil
		}
	}
	if err := t.addSeccomp(f); err != nil {
		return 0, err
	}
	for _, o := range t.tg.tasks {
		if o != t {
			o.seccomp.Store(t.seccomp.Load())
			o.withdrawAnswers()
			if c := o.Creds(); !c.NoNewPrivs && t.Creds().NoNewPrivs {
				c = c.Copy()
				c.NoNewPrivs = true
				o.creds.Store(c)
			}
		}
	}
	return 0, nil
}

// loadsAllowed reports whether a filter reads its data as seccomp(2) wants it:
// aligned words within struct seccomp_data, and the data's length.
func loadsAllowed(insns []bpf.Instruction) bool {
	const sizeofSeccompData = 64
	for _, i := range insns {
		class, mode, size := i.OpCode&0x07, i.OpCode&0xe0, i.OpCode&0x18
		if class != unix.BPF_LD && class != unix.BPF_LDX {
			continue
		}
		switch mode {
		case unix.BPF_ABS:
			if class != unix.BPF_LD || size != unix.BPF_W || i.K%4 != 0 || i.K >= sizeofSeccompData {
				return false
			}
		case unix.BPF_IND, unix.BPF_MSH:
			return false
		}
	}
	return true
}

// descends reports whether s is old or has grown out of it.
func descends(s, old *seccompState) bool {
	if old == nil {
		return true
	}
	if s == nil || len(s.filters) < len(old.filters) || s.strict != old.strict {
		return false
	}
	for i, f := range old.filters {
		if s.filters[len(s.filters)-len(old.filters)+i] != f {
			return false
		}
	}
	return true
}

// addSeccomp puts f before t's filters.
func (t *Task) addSeccomp(f *SeccompFilter) error {
	old := t.seccomp.Load()
	n := &seccompState{filters: []*SeccompFilter{f}, insns: f.Program.Length() + 4}
	if old != nil {
		if old.strict {
			return unix.EINVAL
		}
		n.filters = append(n.filters, old.filters...)
		n.insns += old.insns
	}
	if n.insns > seccompMaxInsns {
		return unix.ENOMEM
	}
	t.seccomp.Store(n)
	t.withdrawAnswers()
	return nil
}

// run returns the strictest verdict of the filters.
func (s *seccompState) run(nr uintptr, rip uint64, args *arch.SyscallArguments) uint32 {
	if s.strict {
		switch nr {
		case unix.SYS_READ, unix.SYS_WRITE, unix.SYS_EXIT, unix.SYS_RT_SIGRETURN:
			return actAllow
		}
		return actKillThread
	}
	var data [64]byte
	// struct seccomp_data, as 32-bit words in the machine's order.
	word := func(i int, v uint32) { binary.LittleEndian.PutUint32(data[i*4:], v) }
	word(0, uint32(nr))
	word(1, auditArchX86_64)
	word(2, uint32(rip))
	word(3, uint32(rip>>32))
	for i, a := range args {
		word(4+2*i, uint32(a))
		word(5+2*i, uint32(a>>32))
	}
	verdict := uint32(actAllow)
	for _, f := range s.filters {
		v := f.verdict(nr, args, data[:])
		// Actions are ordered as signed numbers (seccomp(2), SECCOMP_RET_*).
		if int32(v&actMask) < int32(verdict&actMask) {
			verdict = v
		}
	}
	return verdict
}

func (f *SeccompFilter) verdict(nr uintptr, args *arch.SyscallArguments, data []byte) uint32 {
	if f.Match != nil {
		return f.Match(nr, args)
	}
	v, err := bpf.Exec[bpf.NativeEndian](f.Program, bpf.Input(data))
	if err != nil {
		return actKillThread
	}
	return v
}

// checkSeccomp runs the filters on a system call; true means that the call is
// not to be served.
func (t *Task) checkSeccomp(s *seccompState, nr uintptr, args *arch.SyscallArguments) bool {
	r := t.Registers()
	v := s.run(nr, r.Rip, args)
	switch v & actMask {
	case actAllow:
		return false
	case actLog:
		t.k.log.Info("seccomp logged a call", "call", t.k.names(nr), "comm", t.Name())
		return false
	case actErrno:
		r.Rax = uint64(-int64(min(v&0xffff, 4095)))
	case actTrap:
		r.Rax = uint64(nr)
		info := &SignalInfo{Signo: int32(unix.SIGSYS), Code: 1, Errno: int32(v & 0xffff)}
		info.SetSyscall(r.Rip, int32(nr), auditArchX86_64)
		t.force(info)
	case actTrace, actNotify:
		r.Rax = ^uint64(unix.ENOSYS) + 1 // nobody listens
	case actKillThread:
		if s.strict {
			t.exitCode = ExitStatus{Signal: int32(unix.SIGKILL)}
		} else {
			t.exitCode = ExitStatus{Signal: int32(unix.SIGSYS)}
		}
		t.attention.Or(attnKill)
	default:
		t.tg.kill(ExitStatus{Signal: int32(unix.SIGSYS)})
		t.attention.Or(attnKill)
	}
	return true
}
