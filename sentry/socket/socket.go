package socket

import (
	"ringfort/sentry/auth"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

// Socket is a file with the operations of socket(7). Errors are unix.Errno.
type Socket interface {
	vfs.File

	// Family, Type and Protocol are what socket(2) was given, with the default
	// protocol filled in and without SOCK_* flags.
	Family() int
	Type() int
	Protocol() int

	// Bind gives the socket the address addr, a struct sockaddr as copied in.
	Bind(c vfs.Caller, addr []byte) error
	// Connect starts or makes a connection. EINPROGRESS means that it is under
	// way and that the socket becomes writable when it is decided; EAGAIN that
	// the caller may wait for writability and call again.
	Connect(c vfs.Caller, addr []byte) error
	// Connected returns how a connection begun by Connect ended: nil, EAGAIN
	// if it is still under way, or the error, which it clears.
	Connected() error
	Listen(c vfs.Caller, backlog int) error
	// Accept returns the next connection and the peer's address; EAGAIN if
	// there is none.
	Accept(c vfs.Caller) (Socket, []byte, error)
	// Shutdown is shutdown(2), how one of unix.SHUT_*.
	Shutdown(c vfs.Caller, how int) error
	// Name returns the socket's own address or its peer's.
	Name(c vfs.Caller, peer bool) ([]byte, error)
	// GetOption returns an option's value, of at most max bytes.
	GetOption(c vfs.Caller, level, name, max int) ([]byte, error)
	// SetOption sets an option.
	SetOption(c vfs.Caller, level, name int, value []byte) error

	// Send sends src, of which a stream may take a part.
	Send(c vfs.Caller, src usermem.Seq, m *SendArgs) (int64, error)
	// Recv receives into dst and fills r in.
	Recv(c vfs.Caller, dst usermem.Seq, flags int, r *Received) (int64, error)

	// Timeouts returns SO_RCVTIMEO and SO_SNDTIMEO in nanoseconds, 0 for none.
	Timeouts() (recv, send int64)
}

// Teller is a Socket that may be sure of what there is to receive.
type Teller interface {
	Socket
	// TellsArrivals reports whether the queue is notified of everything that can be received, and of every error and
	// end, when it has come and before whoever sent it goes on.
	TellsArrivals() bool
}

// SendArgs is what accompanies the data of a send.
type SendArgs struct {
	// To is the destination address, nil for the peer.
	To []byte
	// Flags are MSG_*.
	Flags int
	// Control is nil if there are no control messages.
	Control *Control
}

// Received is what accompanies received data.
type Received struct {
	// From is the sender's address, nil if there is none to report.
	From []byte
	// Flags are the msg_flags of recvmsg(2).
	Flags int
	// Full is the length of the whole message where it was longer than the
	// buffer, else what was received.
	Full int64
	// Control is nil if there is nothing to report. Its Files belong to the
	// receiver.
	Control *Control
	// WantControl tells the family that the caller has room for control
	// messages; without, descriptors are dropped and MSG_CTRUNC set.
	WantControl bool
	// WantFrom tells that the sender's address is asked for.
	WantFrom bool
}

// Control is a parsed set of control messages.
type Control struct {
	// Files are the descriptions of SCM_RIGHTS, with a reference each.
	Files []*vfs.Description
	// Creds is SCM_CREDENTIALS.
	Creds *PeerCreds
	// Raw are the control messages of other protocols.
	Raw []Raw
}

// Raw is one control message.
type Raw struct {
	Level, Type int32
	Data        []byte
}

// Drop releases the references of the files. It does nothing for nil.
func (ctl *Control) Drop(c vfs.Caller) {
	if ctl == nil {
		return
	}
	for _, d := range ctl.Files {
		d.DecRef(c)
	}
	ctl.Files = nil
}

// PeerCreds identify a process to its peer (SO_PEERCRED, SCM_CREDENTIALS).
type PeerCreds struct {
	PID int32
	UID auth.KUID
	GID auth.KGID
}

// CredsOf returns what c shows to a peer.
func CredsOf(c vfs.Caller) PeerCreds {
	cr := c.Creds()
	return PeerCreds{PID: c.ThreadGroupID(), UID: cr.EUID, GID: cr.EGID}
}
