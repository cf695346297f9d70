package gofer

import (
	"strings"

	"golang.org/x/sys/unix"
	"ringfort/gofer/wire"
)

// way is the directory that the last path of a request led through. The next one is often in the same, and names are
// resolved one at a time.
type way struct {
	open bool
	base int    // descriptor of the directory the path is below
	path string // without the last name
	fd   int    // O_PATH
}

// openBelow opens what a path of names leads to, none of them a link. flags are those of openChild. The caller
// calls leave at the end of the request.
func (s *server) openBelow(base int, path string, flags uint32) (int, error) {
	if len(path) > wire.MaxTarget {
		return -1, unix.ENAMETOOLONG
	}
	for rest, more := path, true; more; {
		var name string
		name, rest, more = strings.Cut(rest, "/")
		if err := checkName(name); err != nil {
			return -1, err
		}
	}
	dir, name := base, path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		if err := s.pass(base, path[:i]); err != nil {
			return -1, err
		}
		dir, name = s.way.fd, path[i+1:]
	}
	return openChild(dir, name, flags, 0)
}

// pass makes the way that of a directory.
func (s *server) pass(base int, path string) error {
	if s.way.open && s.way.base == base && s.way.path == path {
		return nil
	}
	s.leave()
	fd := base
	for rest, more := path, true; more; {
		var name string
		name, rest, more = strings.Cut(rest, "/")
		next, err := openChild(fd, name, unix.O_PATH|unix.O_DIRECTORY, 0)
		if fd != base {
			unix.Close(fd)
		}
		if err != nil {
			return err
		}
		fd = next
	}
	s.way = way{open: true, base: base, path: path, fd: fd}
	return nil
}

// leave lets go of the way: it may be another one by the next request.
func (s *server) leave() {
	if s.way.open {
		unix.Close(s.way.fd)
		s.way = way{}
	}
}
