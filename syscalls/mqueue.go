package syscalls

import (
	"strings"

	"golang.org/x/sys/unix"

	"ringfort/sentry/fs/mqueue"
	"ringfort/sentry/kernel"
	"ringfort/sentry/socket/netlink"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

var mqueueCalls = []Call{
	{Nr: unix.SYS_MQ_OPEN, Name: "mq_open", Func: MqOpen, Args: []Arg{Path, OpenFlags, Mode, Ptr}},
	{Nr: unix.SYS_MQ_UNLINK, Name: "mq_unlink", Func: MqUnlink, Args: []Arg{Path}},
	{Nr: unix.SYS_MQ_TIMEDSEND, Name: "mq_timedsend", Func: MqTimedsend, Args: []Arg{FD, Buf, Size, UInt, Timespec}},
	{Nr: unix.SYS_MQ_TIMEDRECEIVE, Name: "mq_timedreceive", Func: MqTimedreceive, Args: []Arg{FD, OutBuf, Size, Ptr, Timespec}},
	{Nr: unix.SYS_MQ_NOTIFY, Name: "mq_notify", Func: MqNotify, Args: []Arg{FD, Ptr}},
	{Nr: unix.SYS_MQ_GETSETATTR, Name: "mq_getsetattr", Func: MqGetsetattr, Args: []Arg{FD, Ptr, Ptr}},
}

// mqAttr is struct mq_attr.
type mqAttr struct {
	Flags, MaxMsg, MsgSize, CurMsgs int64
	_                               [4]int64
}

// queueName reads a name, which the C library gives without its slash: a single
// component.
func queueName(t *task, p addr) (string, error) {
	name, err := t.CopyInPath(p)
	switch {
	case err != nil:
		return "", err
	case name == "":
		return "", unix.ENOENT
	case name == "." || name == ".." || strings.Contains(name, "/"):
		return "", unix.EACCES
	}
	return name, nil
}

// MqOpen is mq_open(2).
func MqOpen(t *task, a arguments) (uintptr, error) {
	flags := a[1].Uint()
	how := vfs.OpenHow{Flags: flags&(unix.O_ACCMODE|unix.O_CREAT|unix.O_NONBLOCK) | unix.O_NOFOLLOW, Mode: a[2].Uint()}
	if flags&unix.O_CREAT != 0 {
		how.Flags |= flags & unix.O_EXCL
		if p := addr(a[3].Pointer()); p != 0 {
			attr, err := usermem.CopyInVal[mqAttr](t.MM(), p)
			if err != nil {
				return 0, err
			}
			how.Data = &mqueue.Attr{MaxMsg: attr.MaxMsg, MsgSize: attr.MsgSize}
		}
	}
	name, err := queueName(t, addr(a[0].Pointer()))
	if err != nil {
		return 0, err
	}
	if flags&unix.O_ACCMODE == unix.O_ACCMODE {
		// No such mode of access; a queue that is not there is told first.
		how.Flags, how.Data = how.Flags&^unix.O_ACCMODE|unix.O_PATH, nil
	}
	d, err := vfs.Open(t, t.IPCNS().MQ().Root(), name, how)
	if err != nil {
		return 0, err
	}
	defer d.DecRef(t)
	if flags&unix.O_ACCMODE == unix.O_ACCMODE {
		return 0, unix.EINVAL
	}
	fd, err := t.NewFD(d, 0, true)
	return uintptr(fd), err
}

// MqUnlink is mq_unlink(2).
func MqUnlink(t *task, a arguments) (uintptr, error) {
	name, err := queueName(t, addr(a[0].Pointer()))
	if err != nil {
		return 0, err
	}
	return 0, vfs.Unlink(t, t.IPCNS().MQ().Root(), name, false)
}

// openQueue returns the queue of a descriptor that is readable or writable as
// asked, and the description with a reference: EBADF.
func openQueue(t *task, fd int32, read, write bool) (*vfs.Description, *mqueue.Queue, error) {
	d := t.GetIOFile(fd)
	if d == nil {
		return nil, nil, unix.EBADF
	}
	f, ok := d.File().(*mqueue.File)
	if !ok || read && !d.Readable() || write && !d.Writable() {
		d.DecRef(t)
		return nil, nil, unix.EBADF
	}
	return d, f.MessageQueue(), nil
}

// mqDeadline reads the absolute time until which to wait; 0 is for ever.
func mqDeadline(t *task, p addr) (int64, error) {
	if p == 0 {
		return wait.NoDeadline, nil
	}
	when, err := copyInDuration(t, p)
	if err != nil {
		return 0, err
	}
	return absoluteDeadline(t, when, true), nil
}

// MqTimedsend is mq_timedsend(2).
func MqTimedsend(t *task, a arguments) (uintptr, error) {
	deadline, err := mqDeadline(t, addr(a[4].Pointer()))
	if err != nil {
		return 0, err
	}
	if a[3].Uint() >= mqueue.MaxPriority {
		return 0, unix.EINVAL
	}
	d, q, err := openQueue(t, a[0].Int(), false, true)
	if err != nil {
		return 0, err
	}
	defer d.DecRef(t)
	m, err := q.NewMessage(a[3].Uint(), a[2].Size())
	if err != nil {
		return 0, err
	}
	if _, err := t.MM().CopyIn(addr(a[1].Pointer()), m.Text); err != nil {
		q.Discard(m)
		return 0, err
	}
	return 0, q.Send(t, m, !d.NonBlocking(), deadline)
}

// MqTimedreceive is mq_timedreceive(2).
func MqTimedreceive(t *task, a arguments) (uintptr, error) {
	deadline, err := mqDeadline(t, addr(a[4].Pointer()))
	if err != nil {
		return 0, err
	}
	d, q, err := openQueue(t, a[0].Int(), true, false)
	if err != nil {
		return 0, err
	}
	defer d.DecRef(t)
	if attr, _ := q.Attributes(); a[2].Size() < uint64(attr.MsgSize) {
		return 0, unix.EMSGSIZE
	}
	m, err := q.Receive(t, !d.NonBlocking(), deadline)
	if err != nil {
		return 0, err
	}
	if p := addr(a[3].Pointer()); p != 0 {
		if err := usermem.CopyOutVal(t.MM(), p, &m.Priority); err != nil {
			return 0, err
		}
	}
	_, err = t.MM().CopyOut(addr(a[1].Pointer()), m.Text)
	return uintptr(len(m.Text)), err
}

// MqGetsetattr is mq_getsetattr(2).
func MqGetsetattr(t *task, a arguments) (uintptr, error) {
	var set mqAttr
	if p := addr(a[1].Pointer()); p != 0 {
		var err error
		if set, err = usermem.CopyInVal[mqAttr](t.MM(), p); err != nil {
			return 0, err
		}
		if set.Flags&^unix.O_NONBLOCK != 0 {
			return 0, unix.EINVAL
		}
	}
	d, q, err := openQueue(t, a[0].Int(), false, false)
	if err != nil {
		return 0, err
	}
	defer d.DecRef(t)
	attr, count := q.Attributes()
	old := mqAttr{Flags: int64(d.Flags() & unix.O_NONBLOCK), MaxMsg: attr.MaxMsg, MsgSize: attr.MsgSize, CurMsgs: int64(count)}
	if a[1] != 0 {
		if err := d.SetFlags(d.Flags()&^unix.O_NONBLOCK | uint32(set.Flags)); err != nil {
			return 0, err
		}
	}
	if p := addr(a[2].Pointer()); p != 0 {
		return 0, usermem.CopyOutVal(t.MM(), p, &old)
	}
	return 0, nil
}

// cookieLen is the length of what a netlink socket is sent for SIGEV_THREAD; its
// last byte says what happened (include/linux/mqueue.h).
const (
	cookieLen    = 32
	cookieWoken  = 1
	cookieRemove = 2
)

// MqNotify is mq_notify(2).
func MqNotify(t *task, a arguments) (uintptr, error) {
	p := addr(a[1].Pointer())
	var ev sigevent
	if p != 0 {
		var err error
		if ev, err = usermem.CopyInVal[sigevent](t.MM(), p); err != nil {
			return 0, err
		}
	}
	n := &mqueue.Notification{Owner: t.ProcessName(), Kind: ev.Notify, Signo: ev.Signo, Removed: func() {}}
	var sock *netlink.Socket
	if p != 0 {
		switch ev.Notify {
		case kernel.SigevNone:
			n.Arrived = func(vfs.Caller) {}
		case kernel.SigevSignal:
			if ev.Signo < 0 || ev.Signo > kernel.SignalMax {
				return 0, unix.EINVAL
			}
			n.Arrived = signalOnMessage(t, ev)
		case kernel.SigevThread:
			d, s, err := notifySocket(t, ev.Signo)
			if err != nil {
				return 0, err
			}
			sock = s
			defer d.DecRef(t)
		default:
			return 0, unix.EINVAL
		}
	}
	if sock != nil {
		// The C library keeps a thread that reads this socket. The socket lives
		// as long as the process that registers, which takes its request back.
		var cookie [cookieLen]byte
		if _, err := t.MM().CopyIn(addr(ev.Value), cookie[:]); err != nil {
			return 0, err
		}
		deliver := func(what byte) {
			cookie[cookieLen-1] = what
			b := cookie
			sock.Deliver(b[:])
		}
		n.Arrived = func(vfs.Caller) { deliver(cookieWoken) }
		n.Removed = func() { deliver(cookieRemove) }
	}
	d, q, err := openQueue(t, a[0].Int(), false, false)
	if err != nil {
		return 0, err
	}
	defer d.DecRef(t)
	if p == 0 {
		q.Unnotify(t.ProcessName())
		return 0, nil
	}
	return 0, q.Notify(n)
}

// notifySocket returns the netlink socket that is to hear of a message.
func notifySocket(t *task, fd int32) (*vfs.Description, *netlink.Socket, error) {
	d := t.GetIOFile(fd)
	if d == nil {
		return nil, nil, unix.EBADF
	}
	s, ok := d.File().(*netlink.Socket)
	if !ok {
		d.DecRef(t)
		return nil, nil, unix.EINVAL
	}
	return d, s, nil
}

// signalOnMessage returns what sends t's process the signal of ev.
func signalOnMessage(t *task, ev sigevent) func(vfs.Caller) {
	const fromQueue = -3 // SI_MESGQ
	tg, ns, users := t.ThreadGroup(), t.PIDNS(), t.UserNS()
	return func(sender vfs.Caller) {
		info := &kernel.SignalInfo{Signo: ev.Signo, Code: fromQueue}
		if s, ok := sender.(*task); ok {
			info.SetSender(ns.IDOfThreadGroup(s.ThreadGroup()), users.UID(s.Creds().RUID))
		}
		info.SetValue(ev.Value)
		tg.SendSignal(info)
	}
}
