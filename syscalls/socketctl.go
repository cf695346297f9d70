package syscalls

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"ringfort/sentry/kernel"
	"ringfort/sentry/socket"
	"ringfort/sentry/vfs"
)

const (
	// maxControl is net.core.optmem_max.
	maxControl = 128 << 10
	// maxRights is SCM_MAX_FD.
	maxRights = 253
	// cmsgHeader is sizeof(struct cmsghdr).
	cmsgHeader = 16
)

func cmsgAlign(n int) int { return (n + 7) &^ 7 }

// copyInControl parses the control messages of a send (cmsg(3)). The files
// have references that the caller drops.
func copyInControl(t *task, p addr, n uint64) (*socket.Control, error) {
	if n > maxControl {
		return nil, unix.ENOBUFS
	}
	b := make([]byte, n)
	if _, err := t.MM().CopyIn(p, b); err != nil {
		return nil, err
	}
	ctl := &socket.Control{}
	for len(b) >= cmsgHeader {
		size := binary.NativeEndian.Uint64(b)
		level := int32(binary.NativeEndian.Uint32(b[8:]))
		typ := int32(binary.NativeEndian.Uint32(b[12:]))
		if size < cmsgHeader || size > uint64(len(b)) {
			ctl.Drop(t)
			return nil, unix.EINVAL
		}
		data := b[cmsgHeader:size]
		var err error
		switch {
		case level == unix.SOL_SOCKET && typ == unix.SCM_RIGHTS:
			err = copyInRights(t, ctl, data)
		case level == unix.SOL_SOCKET && typ == unix.SCM_CREDENTIALS:
			err = copyInCreds(t, ctl, data)
		default:
			ctl.Raw = append(ctl.Raw, socket.Raw{Level: level, Type: typ, Data: data})
		}
		if err != nil {
			ctl.Drop(t)
			return nil, err
		}
		b = b[min(cmsgAlign(int(size)), len(b)):]
	}
	return ctl, nil
}

func copyInRights(t *task, ctl *socket.Control, data []byte) error {
	if len(ctl.Files)+len(data)/4 > maxRights {
		return unix.EINVAL
	}
	t.FDs().NeverCloseLate() // the receiver may lock what is open, and wait for us to close it
	for ; len(data) >= 4; data = data[4:] {
		d := t.GetFile(int32(binary.NativeEndian.Uint32(data)))
		if d == nil {
			return unix.EBADF
		}
		ctl.Files = append(ctl.Files, d)
	}
	return nil
}

// copyInCreds checks that the sender may call itself what it does (unix(7),
// SCM_CREDENTIALS).
func copyInCreds(t *task, ctl *socket.Control, data []byte) error {
	if len(data) < unix.SizeofUcred {
		return unix.EINVAL
	}
	pid := int32(binary.NativeEndian.Uint32(data))
	cr := t.Creds()
	uid, ok := cr.UserNS.KUID(binary.NativeEndian.Uint32(data[4:]))
	gid, ok2 := cr.UserNS.KGID(binary.NativeEndian.Uint32(data[8:]))
	if !ok || !ok2 {
		return unix.EINVAL
	}
	tg := t.PIDNS().ThreadGroupWithID(pid)
	if tg != t.ThreadGroup() && !cr.HasCapIn(unix.CAP_SYS_ADMIN, t.PIDNS().UserNS()) {
		return unix.EPERM
	}
	if tg == nil {
		return unix.ESRCH
	}
	if uid != cr.RUID && uid != cr.EUID && uid != cr.SUID && !cr.HasCap(unix.CAP_SETUID) {
		return unix.EPERM
	}
	if gid != cr.RGID && gid != cr.EGID && gid != cr.SGID && !cr.HasCap(unix.CAP_SETGID) {
		return unix.EPERM
	}
	ctl.Creds = &socket.PeerCreds{PID: rootPIDNS(t).IDOfThreadGroup(tg), UID: uid, GID: gid}
	return nil
}

// copyOutControl writes received control messages and returns how much room
// they took; truncated tells that not all fit. Files that do not fit, or for
// which there is no descriptor, are closed.
func copyOutControl(t *task, p addr, room uint64, ctl *socket.Control, cloexec bool) (used uint64, truncated bool, err error) {
	if ctl == nil {
		return 0, false, nil
	}
	defer ctl.Drop(t)
	w := controlWriter{room: int(min(room, maxControl))}
	if p == 0 {
		w.room = 0
	}
	if ctl.Creds != nil {
		w.put(unix.SOL_SOCKET, unix.SCM_CREDENTIALS, ucred(t, ctl.Creds))
	}
	for _, m := range ctl.Raw {
		w.put(m.Level, m.Type, m.Data)
	}
	if len(ctl.Files) > 0 {
		fit := max(w.room-len(w.out)-cmsgHeader, 0) / 4
		if fit < len(ctl.Files) {
			w.truncated = true
		}
		fds := installRights(t, ctl.Files[:min(fit, len(ctl.Files))], cloexec)
		if len(fds) < min(fit, len(ctl.Files)) {
			w.truncated = true
		}
		if len(fds) > 0 {
			data := make([]byte, 4*len(fds))
			for i, fd := range fds {
				binary.NativeEndian.PutUint32(data[4*i:], uint32(fd))
			}
			w.put(unix.SOL_SOCKET, unix.SCM_RIGHTS, data)
		}
	}
	if len(w.out) > 0 {
		if _, err := t.MM().CopyOut(p, w.out); err != nil {
			return 0, false, err
		}
	}
	return uint64(len(w.out)), w.truncated, nil
}

// installRights gives received files descriptors, as many as there can be.
func installRights(t *task, files []*vfs.Description, cloexec bool) (fds []int32) {
	for _, d := range files {
		fd, err := t.NewFD(d, 0, cloexec)
		if err != nil {
			break
		}
		fds = append(fds, fd)
	}
	return fds
}

// rootPIDNS returns the PID namespace all others are in; credentials of
// sockets are in its terms.
func rootPIDNS(t *task) *kernel.PIDNamespace {
	ns := t.PIDNS()
	for p := ns.Parent(); p != nil; p = ns.Parent() {
		ns = p
	}
	return ns
}

// peerPID translates a process ID of the root PID namespace to what t calls
// it, 0 if it has no name there.
func peerPID(t *task, pid int32) int32 {
	root := rootPIDNS(t)
	if t.PIDNS() == root {
		return pid // also of a process that is gone
	}
	if tg := root.ThreadGroupWithID(pid); tg != nil {
		return t.PIDNS().IDOfThreadGroup(tg)
	}
	return 0
}

// ucred is a struct ucred as t sees the sender.
func ucred(t *task, c *socket.PeerCreds) []byte {
	ns := t.Creds().UserNS
	b := make([]byte, unix.SizeofUcred)
	binary.NativeEndian.PutUint32(b, uint32(peerPID(t, c.PID)))
	binary.NativeEndian.PutUint32(b[4:], ns.UID(c.UID))
	binary.NativeEndian.PutUint32(b[8:], ns.GID(c.GID))
	return b
}

// controlWriter lays control messages out in a bounded room.
type controlWriter struct {
	room      int
	out       []byte
	truncated bool
}

// put appends a message, cut to the room there is.
func (w *controlWriter) put(level, typ int32, data []byte) {
	left := w.room - len(w.out)
	if left < cmsgHeader {
		w.truncated = true
		return
	}
	if len(data) > left-cmsgHeader {
		data = data[:left-cmsgHeader]
		w.truncated = true
	}
	n := cmsgHeader + len(data)
	w.out = binary.NativeEndian.AppendUint64(w.out, uint64(n))
	w.out = binary.NativeEndian.AppendUint32(w.out, uint32(level))
	w.out = binary.NativeEndian.AppendUint32(w.out, uint32(typ))
	w.out = append(w.out, data...)
	pad := min(cmsgAlign(n)-n, w.room-len(w.out))
	w.out = append(w.out, make([]byte, pad)...)
}
