package syscalls

import (
	"crypto/rand"

	"golang.org/x/sys/unix"

	"ringfort/sentry/kernel"
	"ringfort/sentry/usermem"
)

var miscCalls = []Call{
	{Nr: unix.SYS_UNAME, Name: "uname", Func: Uname, Args: []Arg{Ptr}},
	{Nr: unix.SYS_SETHOSTNAME, Name: "sethostname", Func: Sethostname, Args: []Arg{Ptr, Size}},
	{Nr: unix.SYS_SETDOMAINNAME, Name: "setdomainname", Func: Setdomainname, Args: []Arg{Ptr, Size}},
	{Nr: unix.SYS_GETRANDOM, Name: "getrandom", Func: Getrandom, Args: []Arg{OutBuf, Size, Hex}},
	{Nr: unix.SYS_SYSLOG, Name: "syslog", Func: Syslog, Args: []Arg{Int, Ptr, Int}, Level: Partial, Note: "the log is empty"},
	{Nr: unix.SYS_VHANGUP, Name: "vhangup", Level: Refused, Errno: unix.EPERM, Note: "needs CAP_SYS_TTY_CONFIG"},
	{Nr: unix.SYS_REBOOT, Name: "reboot", Level: Refused, Errno: unix.EPERM, Note: "a sandbox is stopped by its runtime"},
	{Nr: unix.SYS_PIDFD_OPEN, Name: "pidfd_open", Func: PidfdOpen, Args: []Arg{Int, Hex}},
	{Nr: unix.SYS_PIDFD_GETFD, Name: "pidfd_getfd", Func: PidfdGetfd, Args: []Arg{FD, FD, Hex}},
	{Nr: unix.SYS_KCMP, Name: "kcmp", Level: Refused, Errno: unix.ENOSYS, Note: "not implemented"},
}

// Release and Version are what uname(2) tells.
const (
	Release = "6.1.0-ringfort"
	Version = "#1 SMP Ringfort"
)

// Uname is uname(2).
func Uname(t *task, a arguments) (uintptr, error) {
	var u unix.Utsname
	host, domain := t.UTSNS().Names()
	copy(u.Sysname[:64], "Linux")
	copy(u.Nodename[:64], host)
	copy(u.Release[:64], Release)
	copy(u.Version[:64], Version)
	copy(u.Machine[:64], "x86_64")
	copy(u.Domainname[:64], domain)
	return 0, usermem.CopyOutVal(t.MM(), addr(a[0].Pointer()), &u)
}

// Sethostname is sethostname(2).
func Sethostname(t *task, a arguments) (uintptr, error) {
	s, err := copyInName(t, a)
	if err == nil {
		t.UTSNS().SetHost(s)
	}
	return 0, err
}

// Setdomainname is setdomainname(2).
func Setdomainname(t *task, a arguments) (uintptr, error) {
	s, err := copyInName(t, a)
	if err == nil {
		t.UTSNS().SetDomain(s)
	}
	return 0, err
}

func copyInName(t *task, a arguments) (string, error) {
	if !t.Creds().HasCapIn(unix.CAP_SYS_ADMIN, t.UTSNS().UserNS()) {
		return "", unix.EPERM
	}
	n := a[1].Int()
	if n < 0 || n > 64 {
		return "", unix.EINVAL
	}
	b := make([]byte, n)
	if _, err := t.MM().CopyIn(addr(a[0].Pointer()), b); err != nil {
		return "", err
	}
	for i, c := range b {
		if c == 0 {
			b = b[:i]
			break
		}
	}
	return string(b), nil
}

// Getrandom is getrandom(2).
func Getrandom(t *task, a arguments) (uintptr, error) {
	flags := a[2].Uint()
	if flags&^(unix.GRND_NONBLOCK|unix.GRND_RANDOM|unix.GRND_INSECURE) != 0 ||
		flags&(unix.GRND_RANDOM|unix.GRND_INSECURE) == unix.GRND_RANDOM|unix.GRND_INSECURE {
		return 0, unix.EINVAL
	}
	n := min(a[1].Size(), 32<<20)
	var buf [256]byte
	for done := uint64(0); done < n; {
		b := buf[:min(n-done, uint64(len(buf)))]
		rand.Read(b)
		m, err := t.MM().CopyOut(addr(a[0].Pointer())+addr(done), b)
		done += uint64(m)
		if err != nil {
			if done > 0 {
				return uintptr(done), nil
			}
			return 0, err
		}
	}
	return uintptr(n), nil
}

// Syslog is syslog(2).
func Syslog(t *task, a arguments) (uintptr, error) {
	const (
		readAll, sizeUnread, sizeBuffer = 3, 9, 10
	)
	op := a[0].Int()
	if op < 0 || op > 10 {
		return 0, unix.EINVAL
	}
	if op != readAll && op != sizeBuffer && !t.Creds().HasRootCap(unix.CAP_SYSLOG) {
		return 0, unix.EPERM
	}
	if op == sizeBuffer {
		return 1 << 16, nil
	}
	return 0, nil
}

// PidfdOpen is pidfd_open(2).
func PidfdOpen(t *task, a arguments) (uintptr, error) {
	pid, flags := a[0].Int(), a[1].Uint()
	if flags&^unix.PIDFD_NONBLOCK != 0 || pid <= 0 {
		return 0, unix.EINVAL
	}
	o := t.PIDNS().TaskWithID(pid)
	if o == nil {
		return 0, unix.ESRCH
	}
	if o.ThreadGroup().Leader() != o {
		return 0, unix.ENOENT
	}
	fd, err := t.Kernel().NewPIDFD(t, o.ThreadGroup(), flags)
	return uintptr(fd), err
}

// PidfdGetfd is pidfd_getfd(2).
func PidfdGetfd(t *task, a arguments) (uintptr, error) {
	if a[2] != 0 {
		return 0, unix.EINVAL
	}
	tg, _, err := processOfPIDFD(t, a[0].Int())
	if err != nil {
		return 0, err
	}
	o := tg.Leader()
	if tg.Zombie() {
		return 0, unix.ESRCH
	}
	if !t.MayTrace(o) {
		return 0, unix.EPERM
	}
	d := o.GetFile(a[1].Int())
	if d == nil {
		return 0, unix.EBADF
	}
	defer d.DecRef(t)
	if tab := o.FDs(); tab != nil { // it may have ended meanwhile
		tab.NeverCloseLate()
	}
	fd, err := t.NewFD(d, 0, true)
	return uintptr(fd), err
}

// pidFile is what a pidfd's file tells (sentry/fs/pidfd).
type pidFile interface{ Process() *kernel.ThreadGroup }

// processOfPIDFD returns the process of a pidfd and whether it is O_NONBLOCK.
func processOfPIDFD(t *task, fd int32) (*kernel.ThreadGroup, bool, error) {
	d := t.GetFile(fd)
	if d == nil {
		return nil, false, unix.EBADF
	}
	defer d.DecRef(t)
	p, ok := d.File().(pidFile)
	if !ok {
		return nil, false, unix.EBADF
	}
	return p.Process(), d.NonBlocking(), nil
}
