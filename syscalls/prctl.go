package syscalls

import (
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/bpf"

	"ringfort/sentry/auth"
	"ringfort/sentry/mm"
	"ringfort/sentry/usermem"
)

var prctlCalls = []Call{
	{Nr: unix.SYS_PRCTL, Name: "prctl", Func: Prctl, Args: []Arg{Int, Hex, Hex, Hex, Hex}, Level: Partial, Note: "options used by C libraries, runtimes and container tools; others give EINVAL"},
	{Nr: unix.SYS_ARCH_PRCTL, Name: "arch_prctl", Func: ArchPrctl, Args: []Arg{Hex, Hex}, Level: Partial, Note: "ARCH_SET/GET_FS and GS; others give EINVAL"},
	{Nr: unix.SYS_SECCOMP, Name: "seccomp", Func: Seccomp, Args: []Arg{Int, Hex, Ptr}, Level: Partial, Note: "no user notification"},
	{Nr: unix.SYS_PERSONALITY, Name: "personality", Func: Personality, Args: []Arg{Hex}, Level: Partial, Note: "only ADDR_NO_RANDOMIZE has an effect"},
}

// Prctl is prctl(2).
func Prctl(t *task, a arguments) (uintptr, error) {
	switch a[0].Int() {
	case unix.PR_SET_PDEATHSIG:
		if a[1].Uint64() > 64 {
			return 0, unix.EINVAL
		}
		t.SetPDeathSig(a[1].Int())
		return 0, nil
	case unix.PR_GET_PDEATHSIG:
		sig := t.PDeathSig()
		return 0, usermem.CopyOutVal(t.MM(), addr(a[1].Pointer()), &sig)
	case unix.PR_SET_NAME:
		return 0, setName(t, addr(a[1].Pointer()))
	case unix.PR_GET_NAME:
		var b [16]byte
		copy(b[:15], t.Name())
		_, err := t.MM().CopyOut(addr(a[1].Pointer()), b[:])
		return 0, err
	case unix.PR_GET_DUMPABLE:
		return uintptr(t.MM().GetInfo().Dumpable), nil
	case unix.PR_SET_DUMPABLE:
		if v := a[1].Uint64(); v > 1 {
			return 0, unix.EINVAL
		}
		t.MM().SetInfo(func(i *mm.Info) { i.Dumpable = a[1].Int() })
		return 0, nil
	case unix.PR_SET_CHILD_SUBREAPER:
		t.ThreadGroup().SetSubreaper(a[1] != 0)
		return 0, nil
	case unix.PR_GET_CHILD_SUBREAPER:
		v := int32(0)
		if t.ThreadGroup().Subreaper() {
			v = 1
		}
		return 0, usermem.CopyOutVal(t.MM(), addr(a[1].Pointer()), &v)
	case unix.PR_SET_TIMERSLACK, unix.PR_SET_THP_DISABLE, unix.PR_SET_VMA:
		return 0, nil // hints, or names only a debugger would show
	case unix.PR_GET_TIMERSLACK:
		return 50000, nil
	case unix.PR_GET_THP_DISABLE, unix.PR_GET_TIMING:
		return 0, nil
	case unix.PR_GET_TSC:
		v := int32(unix.PR_TSC_ENABLE)
		return 0, usermem.CopyOutVal(t.MM(), addr(a[1].Pointer()), &v)
	case unix.PR_GET_TID_ADDRESS:
		v := uint64(t.ClearTID())
		return 0, usermem.CopyOutVal(t.MM(), addr(a[1].Pointer()), &v)
	case unix.PR_SET_SECCOMP:
		return prctlSeccomp(t, a)
	case unix.PR_GET_SECCOMP:
		mode, _ := t.SeccompMode()
		return uintptr(mode), nil
	}
	return prctlCaps(t, a)
}

func setName(t *task, p addr) error {
	s, err := t.CopyInString(p, 16)
	if err == unix.ENAMETOOLONG {
		var b [15]byte
		if _, err := t.MM().CopyIn(p, b[:]); err != nil {
			return err
		}
		s = string(b[:])
	} else if err != nil {
		return err
	}
	t.SetName(s)
	return nil
}

// prctlCaps are the options about privileges (capabilities(7)).
func prctlCaps(t *task, a arguments) (uintptr, error) {
	c := t.Creds()
	capArg := int(a[1].Uint64())
	switch a[0].Int() {
	case unix.PR_SET_NO_NEW_PRIVS:
		if a[1] != 1 || a[2] != 0 || a[3] != 0 || a[4] != 0 {
			return 0, unix.EINVAL
		}
		d := c.Copy()
		d.NoNewPrivs = true
		t.SetCreds(d)
		return 0, nil
	case unix.PR_GET_NO_NEW_PRIVS:
		return flag(c.NoNewPrivs), nil
	case unix.PR_GET_KEEPCAPS:
		return flag(c.KeepCaps), nil
	case unix.PR_SET_KEEPCAPS:
		if a[1].Uint64() > 1 {
			return 0, unix.EINVAL
		}
		d := c.Copy()
		d.KeepCaps = a[1] == 1
		t.SetCreds(d)
		return 0, nil
	case unix.PR_GET_SECUREBITS:
		return uintptr(c.SecureBits), nil
	case unix.PR_SET_SECUREBITS:
		// The lock of each bit is the bit above it: capabilities(7).
		locked := c.SecureBits >> 1 & 0x55
		unknown, change := a[1].Uint64()>>8 != 0, c.SecureBits^a[1].Uint()
		if !c.HasCap(unix.CAP_SETPCAP) || unknown || change&(locked|locked<<1) != 0 {
			return 0, unix.EPERM
		}
		d := c.Copy()
		d.SecureBits = a[1].Uint()
		t.SetCreds(d)
		return 0, nil
	case unix.PR_CAPBSET_READ, unix.PR_CAPBSET_DROP:
		if a[1].Uint64() > unix.CAP_LAST_CAP {
			return 0, unix.EINVAL
		}
		if a[0].Int() == unix.PR_CAPBSET_READ {
			return flag(c.Bounding.Has(capArg)), nil
		}
		if !c.HasCap(unix.CAP_SETPCAP) {
			return 0, unix.EPERM
		}
		d := c.Copy()
		d.Bounding &^= auth.CapOf(capArg)
		t.SetCreds(d)
		return 0, nil
	case unix.PR_CAP_AMBIENT:
		return prctlAmbient(t, a)
	}
	return 0, unix.EINVAL
}

func flag(b bool) uintptr {
	if b {
		return 1
	}
	return 0
}

func prctlAmbient(t *task, a arguments) (uintptr, error) {
	c := t.Creds()
	if a[1] == unix.PR_CAP_AMBIENT_CLEAR_ALL {
		d := c.Copy()
		d.Ambient = 0
		t.SetCreds(d)
		return 0, nil
	}
	if a[2].Uint64() > unix.CAP_LAST_CAP {
		return 0, unix.EINVAL
	}
	n := int(a[2])
	d := c.Copy()
	switch a[1] {
	case unix.PR_CAP_AMBIENT_IS_SET:
		return flag(c.Ambient.Has(n)), nil
	case unix.PR_CAP_AMBIENT_RAISE:
		const noAmbientRaise = 1 << 6
		if !c.Permitted.Has(n) || !c.Inheritable.Has(n) || c.SecureBits&noAmbientRaise != 0 {
			return 0, unix.EPERM
		}
		d.Ambient |= auth.CapOf(n)
	case unix.PR_CAP_AMBIENT_LOWER:
		d.Ambient &^= auth.CapOf(n)
	default:
		return 0, unix.EINVAL
	}
	t.SetCreds(d)
	return 0, nil
}

func prctlSeccomp(t *task, a arguments) (uintptr, error) {
	switch a[1] {
	case unix.SECCOMP_MODE_STRICT:
		return 0, t.SetSeccompStrict()
	case unix.SECCOMP_MODE_FILTER:
		return setSeccompFilter(t, 0, addr(a[2].Pointer()))
	}
	return 0, unix.EINVAL
}

// Seccomp is seccomp(2).
func Seccomp(t *task, a arguments) (uintptr, error) {
	op, flags, p := a[0].Uint(), a[1].Uint(), addr(a[2].Pointer())
	switch op {
	case unix.SECCOMP_SET_MODE_STRICT:
		if flags != 0 || p != 0 {
			return 0, unix.EINVAL
		}
		return 0, t.SetSeccompStrict()
	case unix.SECCOMP_SET_MODE_FILTER:
		return setSeccompFilter(t, flags, p)
	case unix.SECCOMP_GET_ACTION_AVAIL:
		if flags != 0 {
			return 0, unix.EINVAL
		}
		act, err := usermem.CopyInVal[uint32](t.MM(), p)
		if err != nil {
			return 0, err
		}
		switch act {
		case unix.SECCOMP_RET_ALLOW, unix.SECCOMP_RET_ERRNO, unix.SECCOMP_RET_KILL_PROCESS, unix.SECCOMP_RET_KILL_THREAD,
			unix.SECCOMP_RET_LOG, unix.SECCOMP_RET_TRAP, unix.SECCOMP_RET_TRACE:
			return 0, nil
		}
		return 0, unix.EOPNOTSUPP
	}
	return 0, unix.EINVAL
}

func setSeccompFilter(t *task, flags uint32, p addr) (uintptr, error) {
	const known = unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_LOG | unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
	if flags&^uint32(known) != 0 {
		return 0, unix.EINVAL
	}
	if c := t.Creds(); !c.NoNewPrivs && !c.HasCap(unix.CAP_SYS_ADMIN) {
		return 0, unix.EACCES
	}
	var prog struct {
		Len uint16
		_   [6]byte
		At  uint64
	}
	if _, err := t.MM().CopyIn(p, usermem.BytesOf(&prog)); err != nil {
		return 0, err
	}
	const maxInsns = 4096 // BPF_MAXINSNS
	if prog.Len == 0 || prog.Len > maxInsns {
		return 0, unix.EINVAL
	}
	insns := make([]bpf.Instruction, prog.Len)
	if err := usermem.CopyInSlice(t.MM(), addr(prog.At), insns); err != nil {
		return 0, err
	}
	tid, err := t.AddSeccompFilter(insns, flags&unix.SECCOMP_FILTER_FLAG_TSYNC != 0)
	return uintptr(tid), err
}

// ArchPrctl is arch_prctl(2).
func ArchPrctl(t *task, a arguments) (uintptr, error) {
	const setGS, setFS, getFS, getGS = 0x1001, 0x1002, 0x1003, 0x1004
	r := t.Registers()
	switch a[0].Int() {
	case setFS, setGS:
		if a[1].Uint64() >= uint64(t.MM().Layout().Max) {
			return 0, unix.EPERM
		}
		if a[0].Int() == setFS {
			r.FsBase = a[1].Uint64()
		} else {
			r.GsBase = a[1].Uint64()
			t.MM().StopPatching() // patched call sites find their way by GS
		}
		return 0, nil
	case getFS:
		return 0, usermem.CopyOutVal(t.MM(), addr(a[1].Pointer()), &r.FsBase)
	case getGS:
		return 0, usermem.CopyOutVal(t.MM(), addr(a[1].Pointer()), &r.GsBase)
	}
	return 0, unix.EINVAL
}

// Personality is personality(2).
func Personality(t *task, a arguments) (uintptr, error) {
	old := t.Personality()
	if p := a[0].Uint(); p != 0xffffffff {
		t.SetPersonality(p)
	}
	return uintptr(old), nil
}
