package syscalls

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/auth"
	"ringfort/sentry/kernel"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

// F_OWNER_* of F_SETOWN_EX (fcntl(2)).
const (
	fOwnerTID  = 0
	fOwnerPID  = 1
	fOwnerPGRP = 2
)

// fOwnerEx is struct f_owner_ex.
type fOwnerEx struct{ Type, PID int32 }

// fcntlOwner is F_SETOWN and its kin. What an ID means is settled when it is set.
func fcntlOwner(t *task, d *vfs.Description, cmd int32, a arguments) (uintptr, error) {
	switch cmd {
	case unix.F_SETOWN:
		id := a[2].Int()
		if id == -1<<31 {
			return 0, unix.EINVAL
		}
		if id < 0 {
			return 0, setOwner(t, d, fOwnerPGRP, -id)
		}
		return 0, setOwner(t, d, fOwnerPID, id)
	case unix.F_GETOWN:
		kind, id := d.Owner()
		if kind == fOwnerPGRP {
			id = -id
		}
		return uintptr(id), nil
	case unix.F_SETOWN_EX:
		o, err := usermem.CopyInVal[fOwnerEx](t.MM(), addr(a[2].Pointer()))
		if err != nil {
			return 0, err
		}
		return 0, setOwner(t, d, o.Type, o.PID)
	case unix.F_GETOWN_EX:
		kind, id := d.Owner()
		return 0, usermem.CopyOutVal(t.MM(), addr(a[2].Pointer()), &fOwnerEx{kind, id})
	case unix.F_SETSIG:
		sig := a[2].Int()
		if sig < 0 || sig > 64 {
			return 0, unix.EINVAL
		}
		d.SetOwnerSignal(sig)
		return 0, nil
	}
	return uintptr(d.OwnerSignal()), nil
}

func setOwner(t *task, d *vfs.Description, kind, id int32) error {
	if id == 0 {
		d.SetOwner(kind, 0, nil)
		return nil
	}
	var owner any
	switch kind {
	case fOwnerTID:
		if o := t.PIDNS().TaskWithID(id); o != nil {
			owner = o
		}
	case fOwnerPID:
		if o := t.PIDNS().ThreadGroupWithID(id); o != nil {
			owner = o
		}
	case fOwnerPGRP:
		if o := t.PIDNS().ProcessGroupWithID(id); o != nil {
			owner = o
		}
	default:
		return unix.EINVAL
	}
	if owner == nil {
		return unix.ESRCH
	}
	d.SetOwner(kind, id, &ioOwner{k: t.Kernel(), target: owner, creds: t.Creds()})
	return nil
}

// ioOwner is who F_SETOWN named, and the rights of who called it.
type ioOwner struct {
	k      *kernel.Kernel
	target any // *task, *kernel.ThreadGroup or *kernel.ProcessGroup
	creds  *auth.Credentials
}

// SignalIO implements vfs.IOSignaller.
func (o *ioOwner) SignalIO(sig, code int32, band int64, fd int32) {
	info := kernel.KernelSignal(unix.SIGIO)
	if sig != 0 {
		info = &kernel.SignalInfo{Signo: sig, Code: code}
		info.SetPoll(band, fd)
	}
	switch target := o.target.(type) {
	case *task:
		if o.may(target) {
			_ = target.SendSignalInfo(target, info, false) // a full queue loses signals, as on Linux
		}
	case *kernel.ThreadGroup:
		if o.may(target.Leader()) {
			target.SendSignal(info)
		}
	case *kernel.ProcessGroup:
		for _, tg := range o.k.RootPIDNS().ThreadGroups() {
			if tg.ProcessGroup() == target && o.may(tg.Leader()) {
				c := *info
				tg.SendSignal(&c)
			}
		}
	}
}

// may checks the right to signal as Linux does for SIGIO: by the IDs of then.
func (o *ioOwner) may(t *task) bool {
	c, d := o.creds, t.Creds()
	return c.EUID == auth.RootKUID || c.EUID == d.SUID || c.EUID == d.RUID || c.RUID == d.SUID || c.RUID == d.RUID
}
