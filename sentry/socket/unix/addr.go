package unixsock

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"ringfort/sentry/vfs"
)

// maxPath is the size of sun_path.
const maxPath = 108

// binding is what has to be undone when a bound socket is closed.
type binding struct {
	abstract string   // with its leading NUL, "" if not abstract
	path     vfs.Path // the socket's inode, the zero Path if not bound to one
	isPath   bool
}

func (b *binding) undo(s *Socket) {
	if b.abstract != "" {
		s.ns.UnbindAbstract(s.key(b.abstract))
	}
	if b.isPath {
		if base := b.path.Inode().Base(); base.Endpoint() == any(s) {
			base.SetEndpoint(nil)
		}
		b.path.DecRef()
	}
}

// key is the name under which a socket of s's type is found: each type has
// abstract names of its own.
func (s *Socket) key(name string) string { return string(rune('0'+s.Type())) + name }

func family(addr []byte) int { return int(binary.NativeEndian.Uint16(addr)) }

// noName is the address of an unbound socket: the family alone.
func noName() []byte {
	return binary.NativeEndian.AppendUint16(nil, unix.AF_UNIX)
}

// name returns the socket's address.
func (s *Socket) name() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.addr == nil {
		return noName()
	}
	return s.addr
}

// boundName is name, nil for an unbound socket: its datagrams come from nowhere.
func (s *Socket) boundName() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// parse checks a struct sockaddr_un and returns the name in it: "" to ask for
// autobind, a leading NUL for an abstract name, else a path.
func parse(addr []byte) (string, error) {
	if len(addr) < 2 || len(addr) > 2+maxPath || family(addr) != unix.AF_UNIX {
		return "", unix.EINVAL
	}
	name := addr[2:]
	if len(name) == 0 || name[0] == 0 {
		return string(name), nil
	}
	if i := bytes.IndexByte(name, 0); i >= 0 {
		name = name[:i]
	}
	return string(name), nil
}

// Bind names the socket.
func (s *Socket) Bind(c vfs.Caller, addr []byte) error {
	name, err := parse(addr)
	if err != nil {
		return err
	}
	if name == "" {
		return s.autobind(c)
	}
	if name[0] == 0 {
		return s.bindAbstract(name)
	}
	s.mu.Lock()
	taken := s.addr != nil
	s.mu.Unlock()
	if taken {
		if _, err := lookUp(c, name); err != unix.ENOENT {
			return unix.EADDRINUSE // the name is looked at first
		}
		return unix.EINVAL
	}
	path, err := makeNode(c, name, s)
	if err != nil {
		return err
	}
	full := append(noName(), name...)
	full = append(full, 0)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.addr != nil || s.state.Load() == stateClosed {
		// Another thread was quicker; the node stays, as on Linux.
		path.Inode().Base().SetEndpoint(nil)
		path.DecRef()
		return unix.EINVAL
	}
	s.addr = full
	s.bound = binding{path: path, isPath: true}
	return nil
}

func (s *Socket) bindAbstract(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.addr != nil {
		return unix.EINVAL
	}
	if !s.ns.BindAbstract(s.key(name), s) {
		return unix.EADDRINUSE
	}
	s.addr = append(noName(), name...)
	s.bound = binding{abstract: name}
	return nil
}

// autobind gives an unbound socket an abstract name of five hexadecimal
// digits (unix(7), "Autobind feature").
func (s *Socket) autobind(vfs.Caller) error {
	s.mu.Lock()
	bound := s.addr != nil
	s.mu.Unlock()
	if bound {
		return nil
	}
	for i := range 1 << 20 {
		err := s.bindAbstract(fmt.Sprintf("\x00%05x", i))
		switch err {
		case unix.EADDRINUSE:
			continue
		case unix.EINVAL:
			return nil // bound by another thread meanwhile
		}
		return err
	}
	return unix.ENOSPC
}

// resolve finds the socket an address names. ECONNREFUSED if there is none of
// that name, or a file that is no living socket; EPROTOTYPE if it is of
// another type.
func (s *Socket) resolve(c vfs.Caller, addr []byte) (*Socket, error) {
	name, err := parse(addr)
	if err != nil {
		return nil, err
	}
	if name == "" {
		return nil, unix.EINVAL
	}
	var ep any
	if name[0] == 0 {
		ep = s.ns.Abstract(s.key(name))
	} else if ep, err = lookUp(c, name); err != nil {
		return nil, err
	}
	t, ok := ep.(*Socket)
	if !ok || t.state.Load() == stateClosed {
		return nil, unix.ECONNREFUSED
	}
	if t.Type() != s.Type() {
		return nil, unix.EPROTOTYPE
	}
	return t, nil
}
