package devpts

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/arch"
	"ringfort/sentry/kernel"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

// masterFile is an open master.
type masterFile struct {
	vfs.FileBase
	t *terminal
}

// replicaFile is an open replica.
type replicaFile struct {
	vfs.FileBase
	t *terminal
}

func (f *masterFile) Read(_ vfs.Caller, _ *vfs.Description, dst usermem.Seq, _ int64) (int64, error) {
	buf := make([]byte, min(dst.Len(), maxOutput))
	f.t.mu.Lock()
	packets := f.t.packet.on
	f.t.mu.Unlock()
	var n int
	if packets && len(buf) > 0 {
		n = f.t.takePacket(buf)
	} else {
		n = f.t.takeOutput(buf)
	}
	if n == 0 && len(buf) > 0 {
		if f.t.replicasGone() {
			return 0, unix.EIO
		}
		return 0, unix.EAGAIN
	}
	m, err := dst.CopyOut(buf[:n])
	return int64(m), err
}

// replicasGone reports whether all replicas were closed, after one was open.
func (t *terminal) replicasGone() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.everOpen && t.replicas == 0
}

func (f *masterFile) Write(_ vfs.Caller, _ *vfs.Description, src usermem.Seq, off int64) (int64, int64, error) {
	buf := make([]byte, min(src.Len(), 4096))
	n, err := src.CopyIn(buf)
	if n == 0 {
		return 0, off, err
	}
	done := f.t.input(buf[:n])
	if done == 0 {
		return 0, off, unix.EAGAIN
	}
	return int64(done), off, nil
}

func (f *masterFile) Poll(mask wait.Events) wait.Events {
	t := f.t
	t.mu.Lock()
	defer t.mu.Unlock()
	ev := t.packet.events()
	if len(t.out) > 0 && !t.stopped {
		ev |= wait.Readable
	}
	if t.pendingInput() < maxInput {
		ev |= wait.Writable
	}
	if t.everOpen && t.replicas == 0 {
		ev |= wait.HUp
	}
	return ev & (mask | wait.HUp)
}

func (f *masterFile) Queue() *wait.Queue { return &f.t.masterQueue }

func (f *masterFile) Release(vfs.Caller) { f.t.closeMaster() }

// closeMaster hangs the terminal up.
func (t *terminal) closeMaster() {
	t.mu.Lock()
	t.master = false
	s := t.session
	fg := t.foreground()
	t.session = nil
	t.mu.Unlock()
	t.inst.remove(t)
	if s != nil {
		if leader := t.k.SessionLeader(s); leader != nil {
			leader.SendSignal(kernel.KernelSignal(unix.SIGHUP))
			leader.SendSignal(kernel.KernelSignal(unix.SIGCONT))
		}
		t.deliver([]send{{fg, unix.SIGHUP}, {fg, unix.SIGCONT}})
		t.k.SetTTY(s, nil)
	}
	t.replicaQueue.Notify(wait.All)
}

// jobControl stops a background process that uses its controlling terminal
// (POSIX, 11.1.4). sig is SIGTTIN or SIGTTOU.
func (t *terminal) jobControl(c vfs.Caller, sig unix.Signal) error {
	task, ok := c.(*kernel.Task)
	if !ok {
		return nil
	}
	t.mu.Lock()
	s := t.session
	t.mu.Unlock()
	pg := task.ThreadGroup().ProcessGroup()
	if s == nil || pg == nil || pg.Session() != s {
		return nil
	}
	if fg := t.k.Foreground(s); fg == nil || fg == pg {
		return nil
	}
	ignored, _ := task.ThreadGroup().ActionSets()
	if ignored.Has(int32(sig)) || task.SignalMask().Has(int32(sig)) {
		if sig == unix.SIGTTIN {
			return unix.EIO
		}
		return nil
	}
	if t.k.Orphaned(pg) {
		return unix.EIO
	}
	t.k.SignalGroup(pg, kernel.KernelSignal(sig))
	return wait.ErrInterrupted
}

func (f *replicaFile) Read(c vfs.Caller, _ *vfs.Description, dst usermem.Seq, _ int64) (int64, error) {
	t := f.t
	if err := t.jobControl(c, unix.SIGTTIN); err != nil {
		return 0, err
	}
	buf := make([]byte, min(dst.Len(), maxInput))
	n, ok := t.readLine(buf)
	if !ok {
		if t.hungUp() {
			return 0, nil
		}
		return 0, unix.EAGAIN
	}
	t.masterQueue.Notify(wait.Writable)
	m, err := dst.CopyOut(buf[:n])
	return int64(m), err
}

func (t *terminal) hungUp() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.master
}

func (f *replicaFile) Write(c vfs.Caller, _ *vfs.Description, src usermem.Seq, off int64) (int64, int64, error) {
	t := f.t
	t.mu.Lock()
	stop := t.mode.local(unix.TOSTOP)
	t.mu.Unlock()
	if stop {
		if err := t.jobControl(c, unix.SIGTTOU); err != nil {
			return 0, off, err
		}
	}
	if t.hungUp() {
		return 0, off, unix.EIO
	}
	buf := make([]byte, min(src.Len(), 16<<10))
	n, err := src.CopyIn(buf)
	if n == 0 {
		return 0, off, err
	}
	done := t.output(buf[:n])
	if done == 0 {
		return 0, off, unix.EAGAIN
	}
	return int64(done), off, nil
}

func (f *replicaFile) Poll(mask wait.Events) wait.Events {
	t := f.t
	t.mu.Lock()
	defer t.mu.Unlock()
	var ev wait.Events
	if len(t.lines) > 0 {
		ev |= wait.Readable
	}
	if len(t.out) < maxOutput && !t.stopped {
		ev |= wait.Writable
	}
	if !t.master {
		ev |= wait.HUp | wait.Err | wait.Readable
	}
	return ev & (mask | wait.HUp | wait.Err)
}

func (f *replicaFile) Queue() *wait.Queue { return &f.t.replicaQueue }

func (f *replicaFile) Release(vfs.Caller) {
	f.t.mu.Lock()
	f.t.replicas--
	f.t.mu.Unlock()
	f.t.masterQueue.Notify(wait.All)
}

// openReplica opens the replica; with noctty unset it becomes the controlling
// terminal of a session leader that has none.
func (t *terminal) openReplica(c vfs.Caller, flags uint32) (vfs.File, error) {
	t.mu.Lock()
	if !t.master || t.locked {
		t.mu.Unlock()
		return nil, unix.EIO
	}
	t.replicas++
	t.everOpen = true
	t.mu.Unlock()
	if task, ok := c.(*kernel.Task); ok && flags&unix.O_NOCTTY == 0 {
		_ = t.takeControl(task, false) // not a session leader, or it has a terminal: opened all the same
	}
	return &replicaFile{t: t}, nil
}

// takeControl is TIOCSCTTY.
func (t *terminal) takeControl(task *kernel.Task, steal bool) error {
	tg := task.ThreadGroup()
	s := tg.Session()
	if s == nil || !tg.IsSessionLeader() {
		return unix.EPERM
	}
	t.mu.Lock()
	owner := t.session
	t.mu.Unlock()
	if owner == s {
		return nil
	}
	if owner != nil {
		if !steal || !task.Creds().HasRootCap(unix.CAP_SYS_ADMIN) {
			return unix.EPERM
		}
		t.k.SetTTY(owner, nil)
	}
	if !t.k.SetTTY(s, t) {
		return unix.EPERM
	}
	t.mu.Lock()
	t.session = s
	t.mu.Unlock()
	return nil
}

// tiocgpkt is TIOCGPKT, which package unix lacks.
const tiocgpkt = 0x80045438

func (f *masterFile) Ioctl(c vfs.Caller, _ *vfs.Description, cmd uint32, arg arch.Argument) (uintptr, error) {
	t, user := f.t, usermem.Addr(arg.Pointer())
	switch cmd {
	case unix.TIOCGPTN:
		return 0, usermem.CopyOutVal(c.Memory(), user, &t.index)
	case unix.TIOCSPTLCK:
		v, err := usermem.CopyInVal[int32](c.Memory(), user)
		if err == nil {
			t.mu.Lock()
			t.locked = v != 0
			t.mu.Unlock()
		}
		return 0, err
	case unix.TIOCGPTLCK:
		t.mu.Lock()
		v := int32(0)
		if t.locked {
			v = 1
		}
		t.mu.Unlock()
		return 0, usermem.CopyOutVal(c.Memory(), user, &v)
	case unix.TIOCGPTPEER:
		return t.openPeer(c, arg.Uint())
	case unix.TIOCPKT:
		v, err := usermem.CopyInVal[int32](c.Memory(), user)
		if err == nil {
			t.setPacket(v != 0)
		}
		return 0, err
	case tiocgpkt:
		t.mu.Lock()
		v := int32(0)
		if t.packet.on {
			v = 1
		}
		t.mu.Unlock()
		return 0, usermem.CopyOutVal(c.Memory(), user, &v)
	case unix.TIOCINQ:
		t.mu.Lock()
		n := int32(len(t.out))
		t.mu.Unlock()
		return 0, usermem.CopyOutVal(c.Memory(), user, &n)
	}
	return t.ioctl(c, cmd, arg, true)
}

// openPeer is TIOCGPTPEER: it opens the replica without a name.
func (t *terminal) openPeer(c vfs.Caller, flags uint32) (uintptr, error) {
	task, ok := c.(*kernel.Task)
	if !ok {
		return 0, unix.EINVAL
	}
	d, err := t.inst.openIndex(c, t, flags)
	if err != nil {
		return 0, err
	}
	defer d.DecRef(c)
	fd, err := task.NewFD(d, 0, flags&unix.O_CLOEXEC != 0)
	return uintptr(fd), err
}

func (f *replicaFile) Ioctl(c vfs.Caller, _ *vfs.Description, cmd uint32, arg arch.Argument) (uintptr, error) {
	if cmd == unix.TIOCINQ {
		f.t.mu.Lock()
		n := int32(f.t.pendingInput() - len(f.t.edit))
		f.t.mu.Unlock()
		return 0, usermem.CopyOutVal(c.Memory(), usermem.Addr(arg.Pointer()), &n)
	}
	return f.t.ioctl(c, cmd, arg, false)
}

// ioctl is what both ends understand (ioctl_tty(2)).
func (t *terminal) ioctl(c vfs.Caller, cmd uint32, arg arch.Argument, master bool) (uintptr, error) {
	user := usermem.Addr(arg.Pointer())
	switch cmd {
	case unix.TCGETS, unix.TCSETS, unix.TCSETSW, unix.TCSETSF, unix.TCGETS2, unix.TCSETS2, unix.TCSETSW2, unix.TCSETSF2, tcgeta, tcseta, tcsetaw, tcsetaf:
		return t.modeIoctl(c, cmd, arg, master)
	case unix.TIOCGWINSZ:
		t.mu.Lock()
		w := t.win
		t.mu.Unlock()
		return 0, usermem.CopyOutVal(c.Memory(), user, &w)
	case unix.TIOCSWINSZ:
		w, err := usermem.CopyInVal[unix.Winsize](c.Memory(), user)
		if err == nil {
			t.resize(w)
		}
		return 0, err
	case unix.TCFLSH:
		return 0, t.flush(arg.Int())
	case unix.TCXONC:
		return 0, t.flow(arg.Int())
	case unix.TCSBRK, unix.TCSBRKP, unix.TIOCEXCL, unix.TIOCNXCL:
		return 0, nil
	case unix.TIOCOUTQ:
		n := int32(0) // a pseudo-terminal transmits at once
		return 0, usermem.CopyOutVal(c.Memory(), user, &n)
	}
	return t.jobIoctl(c, cmd, arg, master)
}

// changing checks that a background process may change the terminal.
func (t *terminal) changing(c vfs.Caller, master bool) error {
	if master {
		return nil
	}
	return t.jobControl(c, unix.SIGTTOU)
}

func (t *terminal) flush(which int32) error {
	t.mu.Lock()
	switch which {
	case unix.TCIFLUSH:
		t.lines, t.edit = nil, nil
		t.packet.tell(unix.TIOCPKT_FLUSHREAD, 0)
	case unix.TCOFLUSH:
		t.out = t.out[:0]
		t.packet.tell(unix.TIOCPKT_FLUSHWRITE, 0)
	case unix.TCIOFLUSH:
		t.lines, t.edit, t.out = nil, nil, t.out[:0]
		t.packet.tell(unix.TIOCPKT_FLUSHREAD|unix.TIOCPKT_FLUSHWRITE, 0)
	default:
		t.mu.Unlock()
		return unix.EINVAL
	}
	t.mu.Unlock()
	t.replicaQueue.Notify(wait.Writable)
	t.masterQueue.Notify(wait.Writable | wait.Pri | wait.Readable)
	return nil
}

func (t *terminal) flow(action int32) error {
	const off, on, ioff, ion = 0, 1, 2, 3
	t.mu.Lock()
	switch action {
	case off:
		t.setStopped(true)
	case on:
		t.setStopped(false)
	case ioff, ion:
	default:
		t.mu.Unlock()
		return unix.EINVAL
	}
	t.mu.Unlock()
	t.masterQueue.Notify(wait.Readable | wait.Pri)
	t.replicaQueue.Notify(wait.Writable)
	return nil
}

// jobIoctl are the calls about sessions and process groups.
func (t *terminal) jobIoctl(c vfs.Caller, cmd uint32, arg arch.Argument, master bool) (uintptr, error) {
	task, ok := c.(*kernel.Task)
	if !ok {
		return 0, unix.ENOTTY
	}
	user := usermem.Addr(arg.Pointer())
	t.mu.Lock()
	s := t.session
	t.mu.Unlock()
	mine := s != nil && task.ThreadGroup().Session() == s
	switch cmd {
	case unix.TIOCSCTTY:
		return 0, t.takeControl(task, arg == 1)
	case unix.TIOCNOTTY:
		if !mine {
			return 0, unix.ENOTTY
		}
		if task.ThreadGroup().IsSessionLeader() {
			fg := t.k.Foreground(s)
			t.k.SetTTY(s, nil)
			t.mu.Lock()
			t.session = nil
			t.mu.Unlock()
			t.deliver([]send{{fg, unix.SIGHUP}, {fg, unix.SIGCONT}})
		}
		return 0, nil
	case unix.TIOCGPGRP, unix.TIOCGSID:
		if s == nil || !mine && !master {
			return 0, unix.ENOTTY
		}
		id := task.PIDNS().IDOfSession(s)
		if cmd == unix.TIOCGPGRP {
			id = task.PIDNS().IDOfProcessGroup(t.k.Foreground(s))
		}
		return 0, usermem.CopyOutVal(c.Memory(), user, &id)
	case unix.TIOCSPGRP:
		if !mine {
			return 0, unix.ENOTTY
		}
		if err := t.changing(c, master); err != nil {
			return 0, err
		}
		id, err := usermem.CopyInVal[int32](c.Memory(), user)
		if err != nil {
			return 0, err
		}
		if id < 0 {
			return 0, unix.EINVAL
		}
		pg := task.PIDNS().ProcessGroupWithID(id)
		if pg == nil {
			return 0, unix.ESRCH
		}
		if !t.k.SetForeground(s, pg) {
			return 0, unix.EPERM
		}
		return 0, nil
	}
	return 0, unix.ENOTTY
}
