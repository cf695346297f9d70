package unixsock

import (
	"os"
	"time"

	"golang.org/x/sys/unix"

	"ringfort/sentry/fs/host"
	"ringfort/sentry/socket"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

const (
	maxStream  = 256 << 10 // bytes of one call on a stream of the host
	maxMessage = 208 << 10 // of a message: net.core.wmem_default of Linux
	// retry is when a listener of the host whose queue was full is asked again.
	retry = 10 * time.Millisecond
)

// A hostNode is an inode of a socket file on which a process of the host may listen. The descriptor that it returns is
// a non-blocking socket of type typ, connected, and the caller's.
type hostNode interface {
	ConnectHost(typ int) (fd int, err error)
}

// hostConn is a connection to a process of the host. Bytes go through it, never a descriptor in either direction.
type hostConn struct {
	file *os.File
	fd   int
	name []byte // the peer's
}

func (h *hostConn) close() {
	host.Unwatch(h.fd)
	h.file.Close()
}

func (h *hostConn) poll(mask wait.Events) wait.Events {
	p := []unix.PollFd{{Fd: int32(h.fd), Events: int16(mask & 0x7fff)}}
	if n, err := unix.Poll(p, 0); err != nil || n == 0 {
		return 0
	}
	return wait.Events(uint16(p[0].Revents)) & (mask | wait.Err | wait.HUp)
}

// connectHost connects to whoever listens outside of the sandbox on a socket file that nobody has bound inside.
func (s *Socket) connectHost(c vfs.Caller, addr []byte) error {
	name, err := parse(addr)
	if err != nil || name == "" || name[0] == 0 {
		return unix.ECONNREFUSED
	}
	p, err := walk(c, name)
	if err != nil {
		return err
	}
	defer p.DecRef()
	node, ok := p.Inode().(hostNode)
	if !ok || p.Inode().Base().Endpoint() != nil {
		return unix.ECONNREFUSED
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.state.Load() {
	case stateConnected:
		return unix.EISCONN
	case stateListening, stateClosed:
		return unix.EINVAL
	}
	fd, err := node.ConnectHost(s.Type())
	if err == unix.EAGAIN {
		time.AfterFunc(retry, func() { s.queue.Notify(wait.Writable) })
	}
	if err != nil {
		return err
	}
	h := &hostConn{file: os.NewFile(uintptr(fd), "host socket"), fd: fd, name: append([]byte(nil), addr...)}
	if err := host.Watch(fd, &s.queue); err != nil {
		h.file.Close()
		return unix.ENOMEM
	}
	s.host.Store(h)
	s.state.Store(stateConnected)
	s.queue.Notify(wait.Writable)
	return nil
}

// sendHost sends to the host. The credentials that go with it are the gofer's, who made the connection.
func (s *Socket) sendHost(c vfs.Caller, h *hostConn, src usermem.Seq, m *socket.SendArgs) (int64, error) {
	switch {
	case m.To != nil:
		return 0, unix.EISCONN
	case m.Control != nil && len(m.Control.Files) > 0:
		return 0, unix.EOPNOTSUPP
	case !s.stream() && src.Len() > maxMessage:
		return 0, unix.EMSGSIZE
	}
	buf := make([]byte, min(src.Len(), maxStream))
	n, err := src.CopyIn(buf)
	if err != nil && (n == 0 || !s.stream()) {
		return 0, err
	}
	n, err = unix.SendmsgN(h.fd, buf[:n], nil, nil, m.Flags&unix.MSG_EOR|unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	switch {
	case err == unix.EINTR:
		err = unix.EAGAIN
	case err == unix.EPIPE && !s.datagram():
		err = s.brokenPipe(c, m)
	}
	return int64(max(n, 0)), err
}

// recvHost receives from the host. Descriptors sent along are closed by the host's kernel, for there is no room for them.
func (s *Socket) recvHost(h *hostConn, dst usermem.Seq, flags int, r *socket.Received) (int64, error) {
	most := maxStream
	ask := flags & (unix.MSG_PEEK | unix.MSG_TRUNC)
	if s.stream() {
		if dst.Len() == 0 {
			return 0, nil
		}
	} else {
		most = maxMessage
		ask |= unix.MSG_TRUNC // the length of the whole message
	}
	buf := make([]byte, min(dst.Len(), most))
	n, _, got, _, err := unix.Recvmsg(h.fd, buf, nil, ask|unix.MSG_DONTWAIT)
	if err == unix.EINTR {
		err = unix.EAGAIN
	}
	if err != nil {
		return 0, err
	}
	r.Full = int64(n)
	r.Flags |= got & (unix.MSG_TRUNC | unix.MSG_EOR | unix.MSG_CTRUNC)
	done, err := dst.CopyOut(buf[:min(n, len(buf))])
	return int64(done), err
}
