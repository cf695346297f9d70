package syscalls

import (
	"sync"

	"golang.org/x/sys/unix"

	"ringfort/platform"
	"ringfort/sentry/kernel"
	"ringfort/sentry/socket"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

// Sendto is sendto(2).
func Sendto(t *task, a arguments) (uintptr, error) {
	s, d, err := getSocket(t, a[0].Int())
	if err != nil {
		return 0, err
	}
	defer d.DecRef(t)
	src, err := t.SingleSeq(addr(a[1].Pointer()), min(a[2].Size(), kernel.MaxRW))
	if err != nil {
		return 0, err
	}
	var to []byte
	if p := addr(a[4].Pointer()); p != 0 {
		if to, err = copyInAddr(t, p, a[5].Int()); err != nil {
			return 0, err
		}
	}
	m := sendArgs.Get().(*socket.SendArgs)
	m.Flags, m.To = int(a[3].Int()), to
	n, err := send(t, d, s, src, m)
	*m = socket.SendArgs{}
	sendArgs.Put(m)
	return uintptr(n), err
}

// What a socket is handed escapes, so it is pooled.
var (
	sendArgs     = sync.Pool{New: func() any { return new(socket.SendArgs) }}
	receivedArgs = sync.Pool{New: func() any { return new(socket.Received) }}
)

// send sends all of src, waiting unless the caller does not want to.
func send(t *task, d *vfs.Description, s socket.Socket, src usermem.Seq, m *socket.SendArgs) (int64, error) {
	stream := s.Type() == unix.SOCK_STREAM
	want := int64(src.Len())
	total, err := s.Send(t, src, m)
	if stream && total > 0 {
		m.Control = nil // it went with the first byte
	}
	if err != unix.EAGAIN && (err != nil || !stream || total >= want) {
		return partial(total, err)
	}
	if m.Flags&unix.MSG_DONTWAIT != 0 || d.NonBlocking() {
		return partial(total, err)
	}
	_, timeout := s.Timeouts()
	deadline := after(t, timeout)
	w := t.OwnWaiter()
	s.Queue().Add(w, wait.Writable|wait.Err|wait.HUp)
	defer w.Remove()
	for {
		n, err := s.Send(t, src.Drop(int(total)), m)
		if n > 0 {
			total += n
			m.Control = nil
		}
		if err != unix.EAGAIN && (err != nil || !stream || total >= want) {
			return partial(total, err)
		}
		if n > 0 {
			continue
		}
		if err := t.Block(deadline); err != nil {
			if err == unix.ETIMEDOUT {
				err = unix.EAGAIN
			}
			return partial(total, err)
		}
	}
}

// Recvfrom is recvfrom(2).
func Recvfrom(t *task, a arguments) (uintptr, error) {
	s, d, err := getSocket(t, a[0].Int())
	if err != nil {
		return 0, err
	}
	defer d.DecRef(t)
	dst, err := t.SingleSeq(addr(a[1].Pointer()), min(a[2].Size(), kernel.MaxRW))
	if err != nil {
		return 0, err
	}
	r := receivedArgs.Get().(*socket.Received)
	defer func() {
		*r = socket.Received{}
		receivedArgs.Put(r)
	}()
	r.WantFrom = a[4].Pointer() != 0
	flags := int(a[3].Int())
	n, err := recv(t, d, s, dst, flags, r)
	if a[4].Pointer() == 0 && flags&^(unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL) == 0 {
		e := platform.Echo{Nr: unix.SYS_RECVFROM, FD: a[0].Int(), Args: [3]uint64{1: a[2].Uint64(), 2: uint64(a[3].Uint())}}
		drained(t, d, dst, n, err, flags&unix.MSG_DONTWAIT != 0, &e)
	}
	if err != nil {
		return 0, err
	}
	r.Control.Drop(t)
	if a[4].Pointer() != 0 && (r.From != nil || s.Type() != unix.SOCK_STREAM) {
		if err := copyOutAddr(t, addr(a[4].Pointer()), addr(a[5].Pointer()), r.From); err != nil {
			return 0, err
		}
	} else if a[4].Pointer() != 0 && a[5].Pointer() != 0 {
		var zero int32
		if err := usermem.CopyOutVal(t.MM(), addr(a[5].Pointer()), &zero); err != nil {
			return 0, err
		}
	}
	return uintptr(n), nil
}

// recv receives once, or with MSG_WAITALL until a stream has filled dst,
// waiting unless the caller does not want to. With MSG_TRUNC it returns the
// length of the whole datagram.
func recv(t *task, d *vfs.Description, s socket.Socket, dst usermem.Seq, flags int, r *socket.Received) (int64, error) {
	dontWait := flags&(unix.MSG_DONTWAIT|unix.MSG_ERRQUEUE) != 0 || d.NonBlocking()
	all := flags&unix.MSG_WAITALL != 0 && flags&unix.MSG_PEEK == 0 && s.Type() == unix.SOCK_STREAM && !dontWait
	want := int64(dst.Len())
	n, err := s.Recv(t, dst, flags, r)
	if err != unix.EAGAIN {
		d.Disturb() // who hears of what was received must not find nothing
	}
	if err == nil && (!all || n >= want || n == 0 || r.Control != nil) {
		return received(n, s, flags, r), nil
	}
	if err != nil && (err != unix.EAGAIN || dontWait) {
		return 0, err
	}
	total := n
	timeout, _ := s.Timeouts()
	deadline := after(t, timeout)
	w := t.OwnWaiter()
	s.Queue().Add(w, wait.Readable|wait.RdHUp|wait.Err|wait.HUp)
	defer w.Remove()
	for {
		n, err := s.Recv(t, dst.Drop(int(total)), flags, r)
		if err != unix.EAGAIN {
			d.Disturb()
		}
		if n > 0 {
			total += n
		}
		if err == nil && (!all || n == 0 || total >= want || r.Control != nil) {
			return received(total, s, flags, r), nil
		}
		if err != nil && err != unix.EAGAIN {
			return partial(total, err)
		}
		if n > 0 {
			continue
		}
		if err := t.Block(deadline); err != nil {
			if err == unix.ETIMEDOUT {
				err = unix.EAGAIN
			}
			return partial(total, err)
		}
	}
}

func received(n int64, s socket.Socket, flags int, r *socket.Received) int64 {
	if flags&unix.MSG_TRUNC != 0 && s.Type() != unix.SOCK_STREAM {
		return max(r.Full, n)
	}
	return n
}

// msghdr is struct msghdr of sendmsg(2) on x86-64.
type msghdr struct {
	Name       uint64
	NameLen    int32
	_          int32
	Iov        uint64
	IovLen     uint64
	Control    uint64
	ControlLen uint64
	Flags      int32
	_          int32
}

// mmsghdr is struct mmsghdr.
type mmsghdr struct {
	Hdr msghdr
	Len uint32
	_   uint32
}

// maxMessages is UIO_MAXIOV, the most messages one call takes.
const maxMessages = 1024

// Sendmsg is sendmsg(2).
func Sendmsg(t *task, a arguments) (uintptr, error) {
	s, d, err := getSocket(t, a[0].Int())
	if err != nil {
		return 0, err
	}
	defer d.DecRef(t)
	h, err := usermem.CopyInVal[msghdr](t.MM(), addr(a[1].Pointer()))
	if err != nil {
		return 0, err
	}
	n, err := sendHeader(t, d, s, &h, int(a[2].Int()))
	return uintptr(n), err
}

// iovecs reads the vector of a msghdr.
func iovecs(t *task, h *msghdr) (usermem.Seq, error) {
	if h.IovLen > maxMessages {
		return usermem.Seq{}, unix.EMSGSIZE
	}
	return t.IovecSeq(addr(h.Iov), int32(h.IovLen))
}

func sendHeader(t *task, d *vfs.Description, s socket.Socket, h *msghdr, flags int) (int64, error) {
	src, err := iovecs(t, h)
	if err != nil {
		return 0, err
	}
	m := socket.SendArgs{Flags: flags}
	if h.Name != 0 && h.NameLen != 0 {
		if m.To, err = copyInAddr(t, addr(h.Name), h.NameLen); err != nil {
			return 0, err
		}
	}
	if h.Control != 0 && h.ControlLen > 0 {
		ctl, err := copyInControl(t, addr(h.Control), h.ControlLen)
		if err != nil {
			return 0, err
		}
		defer ctl.Drop(t) // whoever queues them takes references
		m.Control = ctl
	}
	return send(t, d, s, src, &m)
}

// Recvmsg is recvmsg(2).
func Recvmsg(t *task, a arguments) (uintptr, error) {
	s, d, err := getSocket(t, a[0].Int())
	if err != nil {
		return 0, err
	}
	defer d.DecRef(t)
	p := addr(a[1].Pointer())
	h, err := usermem.CopyInVal[msghdr](t.MM(), p)
	if err != nil {
		return 0, err
	}
	n, err := recvHeader(t, d, s, &h, int(a[2].Int()))
	if err != nil {
		return 0, err
	}
	return uintptr(n), usermem.CopyOutVal(t.MM(), p, &h)
}

// recvHeader receives into what h describes and updates h.
func recvHeader(t *task, d *vfs.Description, s socket.Socket, h *msghdr, flags int) (int64, error) {
	if h.NameLen < 0 && h.Name != 0 {
		return 0, unix.EINVAL
	}
	dst, err := iovecs(t, h)
	if err != nil {
		return 0, err
	}
	r := socket.Received{WantFrom: h.Name != 0, WantControl: h.Control != 0 && h.ControlLen > 0}
	n, err := recv(t, d, s, dst, flags, &r)
	if err != nil {
		return 0, err
	}
	h.Flags = int32(r.Flags)
	if flags&unix.MSG_CMSG_CLOEXEC != 0 {
		h.Flags |= unix.MSG_CMSG_CLOEXEC
	}
	used, truncated, err := copyOutControl(t, addr(h.Control), h.ControlLen, r.Control, flags&unix.MSG_CMSG_CLOEXEC != 0)
	if err != nil {
		return 0, err
	}
	h.ControlLen = used
	if truncated {
		h.Flags |= unix.MSG_CTRUNC
	}
	if h.Name == 0 {
		return n, nil
	}
	if _, err := t.MM().CopyOut(addr(h.Name), r.From[:min(len(r.From), int(h.NameLen))]); err != nil {
		return 0, err
	}
	h.NameLen = int32(len(r.From))
	return n, nil
}

// Sendmmsg is sendmmsg(2).
func Sendmmsg(t *task, a arguments) (uintptr, error) {
	s, d, err := getSocket(t, a[0].Int())
	if err != nil {
		return 0, err
	}
	defer d.DecRef(t)
	p := addr(a[1].Pointer())
	const size = 64 // sizeof(struct mmsghdr)
	for i := range min(a[2].Uint(), maxMessages) {
		at := p + addr(i)*size
		h, err := usermem.CopyInVal[mmsghdr](t.MM(), at)
		if err == nil {
			var n int64
			if n, err = sendHeader(t, d, s, &h.Hdr, int(a[3].Int())); err == nil {
				h.Len = uint32(n)
				err = usermem.CopyOutVal(t.MM(), at, &h)
			}
		}
		if err != nil {
			if i > 0 {
				return uintptr(i), nil
			}
			return 0, err
		}
	}
	return uintptr(min(a[2].Uint(), maxMessages)), nil
}

// Recvmmsg is recvmmsg(2). The time-out, as in Linux, is only looked at after
// each message.
func Recvmmsg(t *task, a arguments) (uintptr, error) {
	s, d, err := getSocket(t, a[0].Int())
	if err != nil {
		return 0, err
	}
	defer d.DecRef(t)
	deadline, err := timespecDeadline(t, addr(a[4].Pointer()))
	if err != nil {
		return 0, err
	}
	flags := int(a[3].Int())
	p := addr(a[1].Pointer())
	const size = 64
	count := min(a[2].Uint(), maxMessages)
	for i := range count {
		at := p + addr(i)*size
		h, err := usermem.CopyInVal[mmsghdr](t.MM(), at)
		if err == nil {
			var n int64
			if n, err = recvHeader(t, d, s, &h.Hdr, flags&^unix.MSG_WAITFORONE); err == nil {
				h.Len = uint32(n)
				err = usermem.CopyOutVal(t.MM(), at, &h)
			}
		}
		if err != nil {
			if i > 0 {
				return uintptr(i), nil
			}
			return 0, err
		}
		if flags&unix.MSG_WAITFORONE != 0 {
			flags |= unix.MSG_DONTWAIT
		}
		if deadline != wait.NoDeadline && t.Monotonic() >= deadline {
			return uintptr(i + 1), nil
		}
	}
	return uintptr(count), nil
}
