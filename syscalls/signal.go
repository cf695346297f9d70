package syscalls

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/kernel"
	"ringfort/sentry/usermem"
	"ringfort/sentry/wait"
)

var signalCalls = []Call{
	{Nr: unix.SYS_RT_SIGACTION, Name: "rt_sigaction", Func: RtSigaction, Args: []Arg{Sig, Ptr, Ptr, Size}},
	{Nr: unix.SYS_RT_SIGPROCMASK, Name: "rt_sigprocmask", Func: RtSigprocmask, Args: []Arg{Int, Ptr, Ptr, Size}},
	{Nr: unix.SYS_RT_SIGRETURN, Name: "rt_sigreturn", Func: RtSigreturn},
	{Nr: unix.SYS_RT_SIGPENDING, Name: "rt_sigpending", Func: RtSigpending, Args: []Arg{Ptr, Size}},
	{Nr: unix.SYS_RT_SIGTIMEDWAIT, Name: "rt_sigtimedwait", Func: RtSigtimedwait, Args: []Arg{Ptr, Ptr, Timespec, Size}},
	{Nr: unix.SYS_RT_SIGQUEUEINFO, Name: "rt_sigqueueinfo", Func: RtSigqueueinfo, Args: []Arg{Int, Sig, Ptr}},
	{Nr: unix.SYS_RT_TGSIGQUEUEINFO, Name: "rt_tgsigqueueinfo", Func: RtTgsigqueueinfo, Args: []Arg{Int, Int, Sig, Ptr}},
	{Nr: unix.SYS_RT_SIGSUSPEND, Name: "rt_sigsuspend", Func: RtSigsuspend, Args: []Arg{Ptr, Size}},
	{Nr: unix.SYS_SIGALTSTACK, Name: "sigaltstack", Func: Sigaltstack, Args: []Arg{Ptr, Ptr}},
	{Nr: unix.SYS_KILL, Name: "kill", Func: Kill, Args: []Arg{Int, Sig}},
	{Nr: unix.SYS_TKILL, Name: "tkill", Func: Tkill, Args: []Arg{Int, Sig}},
	{Nr: unix.SYS_TGKILL, Name: "tgkill", Func: Tgkill, Args: []Arg{Int, Int, Sig}},
	{Nr: unix.SYS_PAUSE, Name: "pause", Func: Pause},
	{Nr: unix.SYS_RESTART_SYSCALL, Name: "restart_syscall", Func: RestartSyscall},
	{Nr: unix.SYS_PIDFD_SEND_SIGNAL, Name: "pidfd_send_signal", Func: PidfdSendSignal, Args: []Arg{FD, Sig, Ptr, Hex}},
}

// RtSigaction is rt_sigaction(2).
func RtSigaction(t *task, a arguments) (uintptr, error) {
	if a[3].Size() != 8 {
		return 0, unix.EINVAL
	}
	var new *kernel.SigAction
	if p := addr(a[1].Pointer()); p != 0 {
		v, err := usermem.CopyInVal[kernel.SigAction](t.MM(), p)
		if err != nil {
			return 0, err
		}
		new = &v
	}
	old, err := t.Action(a[0].Int(), new)
	if err != nil {
		return 0, err
	}
	if p := addr(a[2].Pointer()); p != 0 {
		return 0, usermem.CopyOutVal(t.MM(), p, &old)
	}
	return 0, nil
}

// RtSigprocmask is rt_sigprocmask(2).
func RtSigprocmask(t *task, a arguments) (uintptr, error) {
	if a[3].Size() != 8 {
		return 0, unix.EINVAL
	}
	old := t.SignalMask()
	if p := addr(a[1].Pointer()); p != 0 {
		set, err := usermem.CopyInVal[kernel.SignalSet](t.MM(), p)
		if err != nil {
			return 0, err
		}
		switch a[0].Int() {
		case unix.SIG_BLOCK:
			set |= old
		case unix.SIG_UNBLOCK:
			set = old &^ set
		case unix.SIG_SETMASK:
		default:
			return 0, unix.EINVAL
		}
		t.SetSignalMask(set)
	}
	if p := addr(a[2].Pointer()); p != 0 {
		return 0, usermem.CopyOutVal(t.MM(), p, &old)
	}
	return 0, nil
}

// RtSigreturn is rt_sigreturn(2).
func RtSigreturn(t *task, _ arguments) (uintptr, error) { return 0, t.SigReturn() }

// RtSigpending is rt_sigpending(2).
func RtSigpending(t *task, a arguments) (uintptr, error) {
	if a[1].Size() > 8 {
		return 0, unix.EINVAL
	}
	s := t.PendingSignals() & t.SignalMask()
	_, err := t.MM().CopyOut(addr(a[0].Pointer()), usermem.BytesOf(&s)[:a[1].Size()])
	return 0, err
}

// RtSigtimedwait is rt_sigtimedwait(2).
func RtSigtimedwait(t *task, a arguments) (uintptr, error) {
	set, err := t.CopyInSignalSet(addr(a[0].Pointer()), a[3].Size())
	if err != nil {
		return 0, err
	}
	deadline, err := relativeDeadline(t, addr(a[2].Pointer()))
	if err != nil {
		return 0, err
	}
	info, err := t.WaitSignal(set, deadline)
	if err != nil {
		return 0, err
	}
	if p := addr(a[1].Pointer()); p != 0 {
		if err := usermem.CopyOutVal(t.MM(), p, info); err != nil {
			return 0, err
		}
	}
	return uintptr(info.Signo), nil
}

// relativeDeadline reads a relative timespec: NoDeadline for a null pointer.
func relativeDeadline(t *task, p addr) (int64, error) {
	if p == 0 {
		return wait.NoDeadline, nil
	}
	d, err := copyInDuration(t, p)
	return deadlineAfter(t, d), err
}

// deadlineAfter returns the deadline d nanoseconds from now.
func deadlineAfter(t *task, d int64) int64 {
	if now := t.Monotonic(); d < wait.NoDeadline-now {
		return now + d
	}
	return wait.NoDeadline
}

// sigInfoFromUser reads a siginfo for sig; codes that only the kernel may use
// are EPERM unless the target is the caller itself.
func sigInfoFromUser(t *task, p addr, sig int32, self bool) (*kernel.SignalInfo, error) {
	info, err := usermem.CopyInVal[kernel.SignalInfo](t.MM(), p)
	if err != nil {
		return nil, err
	}
	if (info.Code >= 0 || info.Code == kernel.SITkill) && !self {
		return nil, unix.EPERM
	}
	info.Signo = sig
	return &info, nil
}

// RtSigqueueinfo is rt_sigqueueinfo(2).
func RtSigqueueinfo(t *task, a arguments) (uintptr, error) {
	o := t.PIDNS().TaskWithID(a[0].Int())
	info, err := sigInfoFromUser(t, addr(a[2].Pointer()), a[1].Int(), o != nil && o.ThreadGroup() == t.ThreadGroup())
	if err != nil {
		return 0, err
	}
	return 0, sendChecked(t, o, info, true)
}

// RtTgsigqueueinfo is rt_tgsigqueueinfo(2).
func RtTgsigqueueinfo(t *task, a arguments) (uintptr, error) {
	if a[0].Int() <= 0 || a[1].Int() <= 0 {
		return 0, unix.EINVAL
	}
	o := t.PIDNS().TaskWithID(a[1].Int())
	info, err := sigInfoFromUser(t, addr(a[3].Pointer()), a[2].Int(), o == t)
	if err != nil {
		return 0, err
	}
	if o != nil && t.PIDNS().IDOfThreadGroup(o.ThreadGroup()) != a[0].Int() {
		o = nil
	}
	return 0, sendChecked(t, o, info, false)
}

// sendChecked sends info to o if t may: EINVAL, ESRCH, EPERM.
func sendChecked(t, o *task, info *kernel.SignalInfo, group bool) error {
	if info.Signo < 0 || info.Signo > kernel.SignalMax {
		return unix.EINVAL
	}
	if o == nil {
		return unix.ESRCH
	}
	if !o.MaySignal(t, info.Signo) {
		return unix.EPERM
	}
	return o.SendSignalInfo(t, info, group)
}

// RtSigsuspend is rt_sigsuspend(2).
func RtSigsuspend(t *task, a arguments) (uintptr, error) {
	set, err := t.CopyInSignalSet(addr(a[0].Pointer()), a[1].Size())
	if err != nil {
		return 0, err
	}
	t.UseMask(set)
	for err == nil {
		err = t.Block(wait.NoDeadline)
	}
	t.RestoreMask(true)
	return 0, wait.ErrRestartNoHand
}

// Pause is pause(2).
func Pause(t *task, _ arguments) (uintptr, error) {
	for {
		if err := t.Block(wait.NoDeadline); err != nil {
			return 0, wait.ErrRestartNoHand
		}
	}
}

// Sigaltstack is sigaltstack(2).
func Sigaltstack(t *task, a arguments) (uintptr, error) {
	var new *kernel.StackT
	if p := addr(a[0].Pointer()); p != 0 {
		v, err := usermem.CopyInVal[kernel.StackT](t.MM(), p)
		if err != nil {
			return 0, err
		}
		new = &v
	}
	old, err := t.AltStack(new)
	if err != nil {
		return 0, err
	}
	if p := addr(a[1].Pointer()); p != 0 {
		return 0, usermem.CopyOutVal(t.MM(), p, &old)
	}
	return 0, nil
}

// Kill is kill(2).
func Kill(t *task, a arguments) (uintptr, error) {
	pid, sig := a[0].Int(), a[1].Int()
	if sig < 0 || sig > kernel.SignalMax {
		return 0, unix.EINVAL
	}
	ns := t.PIDNS()
	switch {
	case pid > 0:
		return 0, sendUser(t, t.TaskWithID(pid), sig)
	case pid == -1<<31:
		return 0, unix.ESRCH
	}
	var group *kernel.ProcessGroup
	if pid == 0 {
		group = t.ThreadGroup().ProcessGroup()
	} else if pid != -1 {
		if group = ns.ProcessGroupWithID(-pid); group == nil {
			return 0, unix.ESRCH
		}
	}
	err := error(unix.ESRCH)
	for _, tg := range ns.ThreadGroups() {
		if pid == -1 && (tg == t.ThreadGroup() || ns.IDOfThreadGroup(tg) == 1) || group != nil && tg.ProcessGroup() != group {
			continue
		}
		if e := sendUser(t, tg.Leader(), sig); e == nil || err == unix.ESRCH {
			if err != nil {
				err = e
			}
		}
	}
	return 0, err
}

// sendUser sends sig to the process of o with the sender's identity.
func sendUser(t, o *task, sig int32) error {
	if o == nil {
		return unix.ESRCH
	}
	info := t.UserSignal(sig, kernel.SIUser, o.PIDNS(), o.UserNS())
	return sendChecked(t, o, &info, true)
}

// Tkill is tkill(2).
func Tkill(t *task, a arguments) (uintptr, error) {
	if a[0].Int() <= 0 {
		return 0, unix.EINVAL
	}
	return 0, sendThread(t, t.TaskWithID(a[0].Int()), a[1].Int())
}

// Tgkill is tgkill(2).
func Tgkill(t *task, a arguments) (uintptr, error) {
	if a[0].Int() <= 0 || a[1].Int() <= 0 {
		return 0, unix.EINVAL
	}
	o := t.TaskWithID(a[1].Int())
	if o != nil && t.PIDNS().IDOfThreadGroup(o.ThreadGroup()) != a[0].Int() {
		o = nil
	}
	return 0, sendThread(t, o, a[2].Int())
}

func sendThread(t, o *task, sig int32) error {
	if sig < 0 || sig > kernel.SignalMax {
		return unix.EINVAL
	}
	if o == nil {
		return unix.ESRCH
	}
	info := t.UserSignal(sig, kernel.SITkill, o.PIDNS(), o.UserNS())
	return sendChecked(t, o, &info, false)
}

// RestartSyscall is restart_syscall(2).
func RestartSyscall(t *task, _ arguments) (uintptr, error) { return t.RestartSyscall() }

// PidfdSendSignal is pidfd_send_signal(2).
func PidfdSendSignal(t *task, a arguments) (uintptr, error) {
	if a[3] != 0 {
		return 0, unix.EINVAL
	}
	tg, _, err := processOfPIDFD(t, a[0].Int())
	if err != nil {
		return 0, err
	}
	o := tg.Leader()
	if tg.Zombie() && t.PIDNS().TaskWithID(t.PIDNS().IDOfTask(o)) != o {
		return 0, unix.ESRCH
	}
	sig := a[1].Int()
	if p := addr(a[2].Pointer()); p != 0 {
		info, err := sigInfoFromUser(t, p, sig, tg == t.ThreadGroup())
		if err != nil {
			return 0, err
		}
		return 0, sendChecked(t, o, info, true)
	}
	return 0, sendUser(t, o, sig)
}
