package syscalls

import (
	"strconv"

	"golang.org/x/sys/unix"

	"ringfort/sentry/kernel"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

var processCalls = []Call{
	{Nr: unix.SYS_CLONE, Name: "clone", Func: Clone, Args: []Arg{Hex, Ptr, Ptr, Ptr, Hex}, Level: Partial, Note: "no time namespaces, no CLONE_INTO_CGROUP"},
	{Nr: unix.SYS_CLONE3, Name: "clone3", Func: Clone3, Args: []Arg{Ptr, Size}, Level: Partial, Note: "no time namespaces, no CLONE_INTO_CGROUP"},
	{Nr: unix.SYS_FORK, Name: "fork", Func: Fork},
	{Nr: unix.SYS_VFORK, Name: "vfork", Func: Vfork},
	{Nr: unix.SYS_EXECVE, Name: "execve", Func: Execve, Args: []Arg{Path, Ptr, Ptr}},
	{Nr: unix.SYS_EXECVEAT, Name: "execveat", Func: Execveat, Args: []Arg{DirFD, Path, Ptr, Ptr, Hex}},
	{Nr: unix.SYS_EXIT, Name: "exit", Func: Exit, Args: []Arg{Int}},
	{Nr: unix.SYS_EXIT_GROUP, Name: "exit_group", Func: ExitGroup, Args: []Arg{Int}},
	{Nr: unix.SYS_WAIT4, Name: "wait4", Func: Wait4, Args: []Arg{Int, Ptr, Hex, Ptr}},
	{Nr: unix.SYS_WAITID, Name: "waitid", Func: Waitid, Args: []Arg{Int, Int, Ptr, Hex, Ptr}},
	{Nr: unix.SYS_SET_TID_ADDRESS, Name: "set_tid_address", Func: SetTIDAddress, Args: []Arg{Ptr}},
	{Nr: unix.SYS_GETPID, Name: "getpid", Func: Getpid},
	{Nr: unix.SYS_GETTID, Name: "gettid", Func: Gettid},
	{Nr: unix.SYS_GETPPID, Name: "getppid", Func: Getppid},
	{Nr: unix.SYS_SETPGID, Name: "setpgid", Func: Setpgid, Args: []Arg{Int, Int}},
	{Nr: unix.SYS_GETPGID, Name: "getpgid", Func: Getpgid, Args: []Arg{Int}},
	{Nr: unix.SYS_GETPGRP, Name: "getpgrp", Func: Getpgrp},
	{Nr: unix.SYS_SETSID, Name: "setsid", Func: Setsid},
	{Nr: unix.SYS_GETSID, Name: "getsid", Func: Getsid, Args: []Arg{Int}},
}

// Clone is clone(2).
func Clone(t *task, a arguments) (uintptr, error) {
	flags := a[0].Uint64() & 0xffffffff
	c := kernel.CloneArgs{
		Flags: flags &^ 0xff, ExitSignal: int32(flags & 0xff), Stack: a[1].Uint64(),
		ParentTID: addr(a[2].Pointer()), PIDFD: addr(a[2].Pointer()), ChildTID: addr(a[3].Pointer()), TLS: a[4].Uint64(),
	}
	if c.Flags&unix.CLONE_PIDFD != 0 && c.Flags&unix.CLONE_PARENT_SETTID != 0 {
		return 0, unix.EINVAL
	}
	tid, err := t.Clone(&c)
	return uintptr(tid), err
}

// Clone3 is clone3(2).
func Clone3(t *task, a arguments) (uintptr, error) {
	var raw struct {
		Flags, PIDFD, ChildTID, ParentTID, ExitSignal, Stack, StackSize, TLS, SetTID, SetTIDSize, Cgroup uint64
	}
	size := a[1].Size()
	if size < 64 {
		return 0, unix.EINVAL
	}
	if size > usermem.PageSize {
		return 0, unix.E2BIG
	}
	if err := copyInStruct(t, addr(a[0].Pointer()), size, usermem.BytesOf(&raw)); err != nil {
		return 0, err
	}
	const intoCgroup = 0x200000000
	known := uint64(0xffffffff)&^0xff | unix.CLONE_CLEAR_SIGHAND
	if raw.Flags&intoCgroup != 0 {
		return 0, unix.EINVAL
	}
	if raw.Flags&^known != 0 || raw.Flags&(unix.CLONE_DETACHED|0xff) != 0 || raw.ExitSignal > kernel.SignalMax ||
		raw.Flags&(unix.CLONE_THREAD|unix.CLONE_PARENT) != 0 && raw.ExitSignal != 0 ||
		(raw.Stack == 0) != (raw.StackSize == 0) || (raw.SetTID == 0) != (raw.SetTIDSize == 0) || raw.SetTIDSize > 32 ||
		raw.Flags&unix.CLONE_CLEAR_SIGHAND != 0 && raw.Flags&unix.CLONE_SIGHAND != 0 {
		return 0, unix.EINVAL
	}
	c := kernel.CloneArgs{
		Flags: raw.Flags, PIDFD: addr(raw.PIDFD), ChildTID: addr(raw.ChildTID), ParentTID: addr(raw.ParentTID),
		ExitSignal: int32(raw.ExitSignal), TLS: raw.TLS,
	}
	if raw.Stack != 0 {
		c.Stack = raw.Stack + raw.StackSize
	}
	if raw.SetTIDSize > 0 {
		if !t.Creds().HasCap(unix.CAP_SYS_ADMIN) {
			return 0, unix.EPERM
		}
		c.SetTID = make([]int32, raw.SetTIDSize)
		if err := usermem.CopyInSlice(t.MM(), addr(raw.SetTID), c.SetTID); err != nil {
			return 0, err
		}
		for _, id := range c.SetTID {
			if id <= 0 || id >= 32768 {
				return 0, unix.EINVAL
			}
		}
	}
	tid, err := t.Clone(&c)
	return uintptr(tid), err
}

// copyInStruct reads a structure whose size the caller names and that may grow
// (clone3(2), openat2(2)): a longer one must end in zeroes (E2BIG).
func copyInStruct(t *task, a addr, size uint64, dst []byte) error {
	n := min(size, uint64(len(dst)))
	if _, err := t.MM().CopyIn(a, dst[:n]); err != nil {
		return err
	}
	rest := make([]byte, size-n)
	if _, err := t.MM().CopyIn(a+addr(n), rest); err != nil {
		return err
	}
	for _, b := range rest {
		if b != 0 {
			return unix.E2BIG
		}
	}
	return nil
}

// Fork is fork(2).
func Fork(t *task, _ arguments) (uintptr, error) {
	tid, err := t.Clone(&kernel.CloneArgs{ExitSignal: int32(unix.SIGCHLD)})
	return uintptr(tid), err
}

// Vfork is vfork(2).
func Vfork(t *task, _ arguments) (uintptr, error) {
	tid, err := t.Clone(&kernel.CloneArgs{Flags: unix.CLONE_VFORK | unix.CLONE_VM, ExitSignal: int32(unix.SIGCHLD)})
	return uintptr(tid), err
}

// Execve is execve(2).
func Execve(t *task, a arguments) (uintptr, error) {
	return exec(t, unix.AT_FDCWD, addr(a[0].Pointer()), addr(a[1].Pointer()), addr(a[2].Pointer()), 0)
}

// Execveat is execveat(2).
func Execveat(t *task, a arguments) (uintptr, error) {
	flags := a[4].Uint()
	if flags&^(unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW) != 0 {
		return 0, unix.EINVAL
	}
	return exec(t, a[0].Int(), addr(a[1].Pointer()), addr(a[2].Pointer()), addr(a[3].Pointer()), flags)
}

// Limits of execve(2), "Limits on size of arguments and environment".
const (
	maxArgString = 32 * usermem.PageSize
)

func exec(t *task, dirfd int32, pathAddr, argvAddr, envAddr addr, flags uint32) (uintptr, error) {
	name, err := t.CopyInPath(pathAddr)
	if err != nil {
		return 0, err
	}
	total := t.Limits().Get(unix.RLIMIT_STACK).Cur / 4
	total = min(max(total, 128<<10), 6<<20)
	argv, err := copyInStrings(t, argvAddr, &total)
	if err != nil {
		return 0, err
	}
	envv, err := copyInStrings(t, envAddr, &total)
	if err != nil {
		return 0, err
	}
	if len(argv) == 0 {
		argv = []string{""} // as Linux since 5.18
	}
	at, done, cloexec, err := dirFor(t, dirfd, name)
	if err != nil {
		return 0, err
	}
	defer done()
	d, err := vfs.OpenExec(t, at, name, flags)
	if err != nil {
		return 0, err
	}
	defer d.DecRef(t)
	shown := name
	if dirfd != unix.AT_FDCWD && (name == "" || name[0] != '/') {
		shown = devFD(dirfd, name)
	}
	return 0, t.Exec(&kernel.LoadArgs{Path: shown, File: d, Argv: argv, Envv: envv, CloseOnExec: cloexec && name == ""})
}

// devFD is the name execveat(2) gives a program opened by descriptor.
func devFD(fd int32, name string) string {
	s := "/dev/fd/" + strconv.Itoa(int(fd))
	if name != "" {
		s += "/" + name
	}
	return s
}

// dirFor resolves the directory argument of an *at call. done drops it.
func dirFor(t *task, dirfd int32, name string) (at vfs.Path, done func(), cloexec bool, err error) {
	if dirfd == unix.AT_FDCWD || name != "" && name[0] == '/' {
		return vfs.Path{}, func() {}, false, nil
	}
	d := t.GetFile(dirfd)
	if d == nil {
		return vfs.Path{}, nil, false, unix.EBADF
	}
	return d.Path(), func() { d.DecRef(t) }, t.FDs().CloseOnExec(dirfd), nil
}

// copyInStrings reads a NULL-terminated array of strings; *left bounds their size.
func copyInStrings(t *task, a addr, left *uint64) (list []string, err error) {
	if a == 0 {
		return nil, nil
	}
	for ; ; a += 8 {
		p, err := usermem.CopyInVal[uint64](t.MM(), a)
		if err != nil {
			return nil, err
		}
		if p == 0 {
			return list, nil
		}
		s, err := t.CopyInString(addr(p), maxArgString)
		if err == unix.ENAMETOOLONG {
			err = unix.E2BIG
		}
		if err != nil {
			return nil, err
		}
		need := uint64(len(s)) + 1 + 8
		if need > *left {
			return nil, unix.E2BIG
		}
		*left -= need
		list = append(list, s)
	}
}

// Exit is _exit of one thread (exit(2) of the kernel).
func Exit(t *task, a arguments) (uintptr, error) { return 0, t.ExitThread(a[0].Int()) }

// ExitGroup is exit_group(2).
func ExitGroup(t *task, a arguments) (uintptr, error) { return 0, t.ExitGroup(a[0].Int()) }

const waitOptions = unix.WNOHANG | unix.WUNTRACED | unix.WCONTINUED | unix.WNOTHREAD | unix.WALL | wclone

const wclone = 0x80000000

// Wait4 is wait4(2).
func Wait4(t *task, a arguments) (uintptr, error) {
	pid, options := a[0].Int(), a[2].Uint()
	if options&^waitOptions != 0 {
		return 0, unix.EINVAL
	}
	spec := waitSpec(options)
	spec.Exited, spec.Stopped = true, options&unix.WUNTRACED != 0
	switch {
	case pid < -1:
		if pid == -1<<31 {
			return 0, unix.ESRCH
		}
		if spec.Group = t.PIDNS().ProcessGroupWithID(-pid); spec.Group == nil {
			return 0, unix.ECHILD
		}
	case pid == 0:
		spec.Group = t.ThreadGroup().ProcessGroup()
	case pid > 0:
		spec.PID = pid
	}
	r, err := t.WaitChild(&spec)
	if err != nil || r == nil {
		return 0, err
	}
	if p := addr(a[1].Pointer()); p != 0 {
		if err := usermem.CopyOutVal(t.MM(), p, &r.Word); err != nil {
			return 0, err
		}
	}
	if p := addr(a[3].Pointer()); p != 0 {
		if err := copyOutRusage(t, p, r.Usage); err != nil {
			return 0, err
		}
	}
	return uintptr(r.PID), nil
}

func waitSpec(options uint32) kernel.WaitSpec {
	return kernel.WaitSpec{
		NoHang: options&unix.WNOHANG != 0, NoReap: options&unix.WNOWAIT != 0, Continued: options&unix.WCONTINUED != 0,
		OwnThreadOnly: options&unix.WNOTHREAD != 0, All: options&unix.WALL != 0, Clone: options&wclone != 0,
	}
}

// Waitid is waitid(2).
func Waitid(t *task, a arguments) (uintptr, error) {
	kind, id, options := a[0].Int(), a[1].Int(), a[3].Uint()
	if options&^uint32(waitOptions|unix.WEXITED|unix.WNOWAIT) != 0 || options&(unix.WEXITED|unix.WSTOPPED|unix.WCONTINUED) == 0 {
		return 0, unix.EINVAL
	}
	spec := waitSpec(options)
	spec.Exited, spec.Stopped = options&unix.WEXITED != 0, options&unix.WSTOPPED != 0
	switch kind {
	case unix.P_ALL:
	case unix.P_PID:
		if id <= 0 {
			return 0, unix.EINVAL
		}
		spec.PID = id
	case unix.P_PGID:
		if id < 0 {
			return 0, unix.EINVAL
		}
		if id == 0 {
			spec.Group = t.ThreadGroup().ProcessGroup()
		} else if spec.Group = t.PIDNS().ProcessGroupWithID(id); spec.Group == nil {
			return 0, unix.ECHILD
		}
	case unix.P_PIDFD:
		tg, nonblock, err := processOfPIDFD(t, id)
		if err != nil {
			return 0, err
		}
		spec.Exact = tg
		if nonblock && !spec.NoHang {
			spec.NoHang = true
			r, err := t.WaitChild(&spec)
			if err == nil && r == nil {
				return 0, unix.EAGAIN
			}
			return waitidResult(t, a, r, err)
		}
	default:
		return 0, unix.EINVAL
	}
	r, err := t.WaitChild(&spec)
	return waitidResult(t, a, r, err)
}

// waitidResult copies out what waitid(2) found; r is nil if there is nothing yet.
func waitidResult(t *task, a arguments, r *kernel.WaitResult, err error) (uintptr, error) {
	if err != nil {
		return 0, err
	}
	var info kernel.SignalInfo
	if r != nil {
		info.Signo, info.Code = int32(unix.SIGCHLD), r.Code
		info.SetChild(r.PID, t.UserNS().UID(r.UID), r.Status, 0, 0)
		if p := addr(a[4].Pointer()); p != 0 {
			if err := copyOutRusage(t, p, r.Usage); err != nil {
				return 0, err
			}
		}
	}
	if p := addr(a[2].Pointer()); p != 0 {
		return 0, usermem.CopyOutVal(t.MM(), p, &info)
	}
	return 0, nil
}

// SetTIDAddress is set_tid_address(2).
func SetTIDAddress(t *task, a arguments) (uintptr, error) {
	t.SetClearTID(addr(a[0].Pointer()))
	return uintptr(t.TID()), nil
}

// Getpid is getpid(2).
func Getpid(t *task, _ arguments) (uintptr, error) { return uintptr(t.TGID()), nil }

// Gettid is gettid(2).
func Gettid(t *task, _ arguments) (uintptr, error) { return uintptr(t.TID()), nil }

// Getppid is getppid(2).
func Getppid(t *task, _ arguments) (uintptr, error) { return uintptr(t.PPID()), nil }

// groupOf returns the thread group called pid, 0 for the caller's; ESRCH.
func groupOf(t *task, pid int32) (*kernel.ThreadGroup, error) {
	if pid == 0 {
		return t.ThreadGroup(), nil
	}
	if o := t.PIDNS().TaskWithID(pid); o != nil {
		return o.ThreadGroup(), nil
	}
	return nil, unix.ESRCH
}

// Setpgid is setpgid(2).
func Setpgid(t *task, a arguments) (uintptr, error) {
	pid, pgid := a[0].Int(), a[1].Int()
	if pgid < 0 {
		return 0, unix.EINVAL
	}
	tg := t.ThreadGroup()
	if pid != 0 && pid != t.TGID() {
		tg = t.PIDNS().ThreadGroupWithID(pid)
		if tg == nil || !tg.IsChildOf(t.ThreadGroup()) {
			return 0, unix.ESRCH
		}
		if tg.HasExecd() {
			return 0, unix.EACCES
		}
	}
	if pgid == 0 {
		pgid = t.PIDNS().IDOfThreadGroup(tg)
	}
	return 0, t.Kernel().SetPGID(t, tg, pgid)
}

// Getpgid is getpgid(2).
func Getpgid(t *task, a arguments) (uintptr, error) {
	tg, err := groupOf(t, a[0].Int())
	if err != nil {
		return 0, err
	}
	return uintptr(t.PIDNS().IDOfProcessGroup(tg.ProcessGroup())), nil
}

// Getpgrp is getpgrp(2).
func Getpgrp(t *task, _ arguments) (uintptr, error) {
	return uintptr(t.PIDNS().IDOfProcessGroup(t.ThreadGroup().ProcessGroup())), nil
}

// Setsid is setsid(2).
func Setsid(t *task, _ arguments) (uintptr, error) {
	if !t.Kernel().SetSID(t.ThreadGroup()) {
		return 0, unix.EPERM
	}
	return uintptr(t.PIDNS().IDOfSession(t.ThreadGroup().Session())), nil
}

// Getsid is getsid(2).
func Getsid(t *task, a arguments) (uintptr, error) {
	tg, err := groupOf(t, a[0].Int())
	if err != nil {
		return 0, err
	}
	return uintptr(t.PIDNS().IDOfSession(tg.Session())), nil
}
