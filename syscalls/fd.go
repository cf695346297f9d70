package syscalls

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

var fdCalls = []Call{
	{Nr: unix.SYS_CLOSE, Name: "close", Func: Close, Args: []Arg{FD}, Note: "of a file that was only read: /proc/PID/fd may show it until the task's next call"},
	{Nr: unix.SYS_CLOSE_RANGE, Name: "close_range", Func: CloseRange, Args: []Arg{UInt, UInt, Hex}},
	{Nr: unix.SYS_DUP, Name: "dup", Func: Dup, Args: []Arg{FD}},
	{Nr: unix.SYS_DUP2, Name: "dup2", Func: Dup2, Args: []Arg{FD, FD}},
	{Nr: unix.SYS_DUP3, Name: "dup3", Func: Dup3, Args: []Arg{FD, FD, Hex}},
	{Nr: unix.SYS_FCNTL, Name: "fcntl", Func: Fcntl, Args: []Arg{FD, Int, Hex}, Level: Partial, Note: "no leases, no F_NOTIFY"},
	{Nr: unix.SYS_FLOCK, Name: "flock", Func: Flock, Args: []Arg{FD, Int}},
	{Nr: unix.SYS_IOCTL, Name: "ioctl", Func: Ioctl, Args: []Arg{FD, Hex, Ptr}, Level: Partial, Note: "those of terminals, sockets, pipes and common files"},
}

// Close is close(2).
func Close(t *task, a arguments) (uintptr, error) {
	return 0, t.FDs().Close(t, a[0].Int())
}

// CloseRange is close_range(2).
func CloseRange(t *task, a arguments) (uintptr, error) {
	first, last, flags := a[0].Uint(), a[1].Uint(), a[2].Uint()
	if first > last || flags&^(unix.CLOSE_RANGE_UNSHARE|unix.CLOSE_RANGE_CLOEXEC) != 0 {
		return 0, unix.EINVAL
	}
	if flags&unix.CLOSE_RANGE_UNSHARE != 0 {
		t.UnshareFiles()
	}
	if flags&unix.CLOSE_RANGE_CLOEXEC != 0 {
		t.FDs().SetCloseOnExecRange(first, last)
	} else {
		t.FDs().CloseRange(t, first, last)
	}
	return 0, nil
}

// Dup is dup(2).
func Dup(t *task, a arguments) (uintptr, error) { return dupFrom(t, a[0].Int(), 0, false) }

func dupFrom(t *task, fd, min int32, cloexec bool) (uintptr, error) {
	d := t.GetFile(fd)
	if d == nil {
		return 0, unix.EBADF
	}
	defer d.DecRef(t)
	n, err := t.NewFD(d, min, cloexec)
	return uintptr(n), err
}

// Dup2 is dup2(2).
func Dup2(t *task, a arguments) (uintptr, error) {
	if a[0].Int() == a[1].Int() {
		d := t.GetFile(a[0].Int())
		if d == nil {
			return 0, unix.EBADF
		}
		d.DecRef(t)
		return uintptr(a[1].Int()), nil
	}
	return dupTo(t, a[0].Int(), a[1].Int(), false)
}

// Dup3 is dup3(2).
func Dup3(t *task, a arguments) (uintptr, error) {
	flags := a[2].Int()
	if flags&^unix.O_CLOEXEC != 0 || a[0].Int() == a[1].Int() {
		return 0, unix.EINVAL
	}
	return dupTo(t, a[0].Int(), a[1].Int(), flags&unix.O_CLOEXEC != 0)
}

func dupTo(t *task, from, to int32, cloexec bool) (uintptr, error) {
	d := t.GetFile(from)
	if d == nil {
		return 0, unix.EBADF
	}
	defer d.DecRef(t)
	if err := t.FDs().InstallAt(t, d, to, cloexec, t.Limits().Get(unix.RLIMIT_NOFILE).Cur); err != nil {
		return 0, err
	}
	return uintptr(to), nil
}

// fDupfdQuery is F_DUPFD_QUERY (fcntl(2)).
const fDupfdQuery = 1027

// Fcntl is fcntl(2).
func Fcntl(t *task, a arguments) (uintptr, error) {
	fd, cmd := a[0].Int(), a[1].Int()
	d := t.GetFile(fd)
	if d == nil {
		return 0, unix.EBADF
	}
	defer d.DecRef(t)
	if d.Flags()&unix.O_PATH != 0 {
		switch cmd {
		case unix.F_DUPFD, unix.F_DUPFD_CLOEXEC, unix.F_GETFD, unix.F_SETFD, unix.F_GETFL, fDupfdQuery:
		default:
			return 0, unix.EBADF
		}
	}
	switch cmd {
	case unix.F_DUPFD, unix.F_DUPFD_CLOEXEC:
		min := a[2].Int()
		if min < 0 || uint64(min) >= t.Limits().Get(unix.RLIMIT_NOFILE).Cur {
			return 0, unix.EINVAL
		}
		return dupFrom(t, fd, min, cmd == unix.F_DUPFD_CLOEXEC)
	case unix.F_GETFD:
		if t.FDs().CloseOnExec(fd) {
			return unix.FD_CLOEXEC, nil
		}
		return 0, nil
	case unix.F_SETFD:
		if !t.FDs().SetCloseOnExec(fd, a[2].Uint()&unix.FD_CLOEXEC != 0) {
			return 0, unix.EBADF
		}
		return 0, nil
	case unix.F_GETFL:
		return uintptr(d.Flags()), nil
	case unix.F_SETFL:
		return 0, setFlags(t, d, fd, a[2].Uint())
	case unix.F_GETLK, unix.F_OFD_GETLK:
		return 0, getLock(t, d, cmd, addr(a[2].Pointer()))
	case unix.F_SETLK, unix.F_SETLKW, unix.F_OFD_SETLK, unix.F_OFD_SETLKW:
		return 0, setLock(t, d, cmd, addr(a[2].Pointer()))
	case unix.F_SETOWN, unix.F_GETOWN, unix.F_SETOWN_EX, unix.F_GETOWN_EX, unix.F_SETSIG, unix.F_GETSIG:
		return fcntlOwner(t, d, cmd, a)
	case unix.F_GETPIPE_SZ, unix.F_SETPIPE_SZ:
		return fcntlPipe(t, d, cmd, a[2].Uint())
	case unix.F_ADD_SEALS, unix.F_GET_SEALS:
		return fcntlSeals(d, cmd, a[2].Uint())
	case fDupfdQuery:
		o := t.GetFile(a[2].Int())
		if o == nil {
			return 0, unix.EBADF
		}
		defer o.DecRef(t)
		if o == d {
			return 1, nil
		}
		return 0, nil
	case unix.F_GETLEASE:
		return unix.F_UNLCK, nil // nobody has one
	}
	return 0, unix.EINVAL // F_SETLEASE and F_NOTIFY among them: refused
}

// setFlags is F_SETFL.
func setFlags(t *task, d *vfs.Description, fd int32, flags uint32) error {
	if flags&unix.O_NOATIME != 0 && d.Flags()&unix.O_NOATIME == 0 && !vfs.OwnerOrCapable(t.Creds(), d.Inode().Base()) {
		return unix.EPERM
	}
	if err := d.SetFlags(flags); err != nil {
		return err
	}
	d.SetAsync(flags&unix.O_ASYNC != 0, fd)
	return nil
}

// lockRange turns a struct flock into a lock; typ is F_RDLCK, F_WRLCK or F_UNLCK.
func lockRange(t *task, d *vfs.Description, cmd int32, at addr) (fl unix.Flock_t, r vfs.RecordLock, err error) {
	if fl, err = usermem.CopyInVal[unix.Flock_t](t.MM(), at); err != nil {
		return fl, r, err
	}
	start := fl.Start
	switch fl.Whence {
	case unix.SEEK_SET:
	case unix.SEEK_CUR:
		start += d.Offset()
	case unix.SEEK_END:
		st, err := d.Stat(t)
		if err != nil {
			return fl, r, err
		}
		start += int64(st.Size)
	default:
		return fl, r, unix.EINVAL
	}
	end := int64(vfs.LockEOF)
	switch {
	case fl.Len > 0:
		if start > vfs.LockEOF-fl.Len {
			return fl, r, unix.EOVERFLOW
		}
		end = start + fl.Len
	case fl.Len < 0:
		start, end = start+fl.Len, start
	}
	if start < 0 {
		return fl, r, unix.EINVAL
	}
	r = vfs.RecordLock{Start: start, End: end, Write: fl.Type == unix.F_WRLCK, Owner: t.FDs(), PID: t.ThreadGroupID()}
	switch cmd {
	case unix.F_OFD_GETLK, unix.F_OFD_SETLK, unix.F_OFD_SETLKW:
		if fl.Pid != 0 {
			return fl, r, unix.EINVAL
		}
		r.Owner, r.PID = d, -1
	}
	return fl, r, nil
}

func getLock(t *task, d *vfs.Description, cmd int32, at addr) error {
	fl, r, err := lockRange(t, d, cmd, at)
	if err != nil {
		return err
	}
	if fl.Type != unix.F_RDLCK && fl.Type != unix.F_WRLCK {
		return unix.EINVAL
	}
	o, err := d.GetLock(r)
	if err != nil {
		return err
	}
	if o == nil {
		fl.Type = unix.F_UNLCK
		return usermem.CopyOutVal(t.MM(), at, &fl)
	}
	fl = unix.Flock_t{Type: unix.F_RDLCK, Whence: unix.SEEK_SET, Start: o.Start, Pid: o.PID}
	if o.Write {
		fl.Type = unix.F_WRLCK
	}
	if o.End != vfs.LockEOF {
		fl.Len = o.End - o.Start
	}
	return usermem.CopyOutVal(t.MM(), at, &fl)
}

func setLock(t *task, d *vfs.Description, cmd int32, at addr) error {
	fl, r, err := lockRange(t, d, cmd, at)
	if err != nil {
		return err
	}
	switch fl.Type {
	case unix.F_UNLCK:
		d.Unlock(r)
		return nil
	case unix.F_RDLCK:
		if !d.Readable() {
			return unix.EBADF
		}
	case unix.F_WRLCK:
		if !d.Writable() {
			return unix.EBADF
		}
	default:
		return unix.EINVAL
	}
	t.FDs().NeverCloseLate()
	return d.SetLock(t, r, cmd == unix.F_SETLKW || cmd == unix.F_OFD_SETLKW)
}

func fcntlPipe(t *task, d *vfs.Description, cmd int32, size uint32) (uintptr, error) {
	p, ok := d.File().(interface {
		PipeSize() int
		SetPipeSize(c vfs.Caller, n uint32) (int, error)
	})
	if !ok {
		return 0, unix.EBADF
	}
	if cmd == unix.F_GETPIPE_SZ {
		return uintptr(p.PipeSize()), nil
	}
	n, err := p.SetPipeSize(t, size)
	return uintptr(n), err
}

func fcntlSeals(d *vfs.Description, cmd int32, seals uint32) (uintptr, error) {
	f, ok := d.File().(interface {
		Seals() (uint32, error)
		AddSeals(uint32) error
	})
	if !ok {
		return 0, unix.EINVAL
	}
	if cmd == unix.F_GET_SEALS {
		s, err := f.Seals()
		return uintptr(s), err
	}
	if !d.Writable() {
		return 0, unix.EPERM
	}
	return 0, f.AddSeals(seals)
}

// Flock is flock(2).
func Flock(t *task, a arguments) (uintptr, error) {
	d := t.GetIOFile(a[0].Int())
	if d == nil {
		return 0, unix.EBADF
	}
	defer d.DecRef(t)
	t.FDs().NeverCloseLate()
	return 0, d.Flock(t, a[1].Int())
}

// The ioctls every file has (ioctl_tty(2), ioctl_fs(2)).
const (
	fioNCLEX = 0x5450
	fioCLEX  = 0x5451
	fioNBIO  = 0x5421
	fioASYNC = 0x5452
	figETBSZ = 2
)

// Ioctl is ioctl(2).
func Ioctl(t *task, a arguments) (uintptr, error) {
	fd, cmd := a[0].Int(), a[1].Uint()
	d := t.GetIOFile(fd)
	if d == nil {
		return 0, unix.EBADF
	}
	defer d.DecRef(t)
	defer d.Disturb()
	arg := addr(a[2].Pointer())
	switch cmd {
	case fioCLEX, fioNCLEX:
		t.FDs().SetCloseOnExec(fd, cmd == fioCLEX)
		return 0, nil
	case fioNBIO, fioASYNC:
		on, err := usermem.CopyInVal[int32](t.MM(), arg)
		if err != nil {
			return 0, err
		}
		bit := uint32(unix.O_NONBLOCK)
		if cmd == fioASYNC {
			bit = unix.O_ASYNC
		}
		flags := d.Flags() &^ bit
		if on != 0 {
			flags |= bit
		}
		if err := d.SetFlags(flags); err != nil {
			return 0, err
		}
		d.SetAsync(flags&unix.O_ASYNC != 0, fd)
		return 0, nil
	case figETBSZ:
		if t := d.Inode().Base().Type(); t != unix.S_IFREG && t != unix.S_IFDIR {
			return 0, unix.ENOTTY
		}
		size := int32(4096)
		return 0, usermem.CopyOutVal(t.MM(), arg, &size)
	case unix.TIOCINQ: // FIONREAD, which regular files have too
		if d.Inode().Base().Type() == unix.S_IFREG {
			st, err := d.Stat(t)
			if err != nil {
				return 0, err
			}
			left := int32(int64(st.Size) - d.Offset())
			return 0, usermem.CopyOutVal(t.MM(), arg, &left)
		}
	}
	return d.File().Ioctl(t, d, cmd, a[2])
}
