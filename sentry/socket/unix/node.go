package unixsock

import (
	"ringfort/sentry/vfs"
)

// makeNode makes a socket file called name and binds s to it. EADDRINUSE if
// the name exists.
func makeNode(c vfs.Caller, name string, s *Socket) (vfs.Path, error) {
	panic("TODO")
}

// lookUp returns what is bound to the socket file called name.
func lookUp(c vfs.Caller, name string) (any, error) {
	panic("TODO")
}
