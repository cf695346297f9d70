package gofer

import (
	"strings"

	"golang.org/x/sys/unix"
	"ringfort/gofer/wire"
)

// maxWay is how many directories of a way are held open.
const maxWay = 32

// way is the directories that the last path of a request led through, from the one that the path is below. The next one is
// often in the same, or beside it, and names are resolved one at a time.
type way struct {
	base  int // descriptor of the directory the path is below
	steps []step
}

// step is a directory on the way, by O_PATH.
type step struct {
	name string
	fd   int
}

// cut lets go of all but the first n steps.
func (w *way) cut(n int) {
	for _, s := range w.steps[n:] {
		unix.Close(s.fd)
	}
	w.steps = w.steps[:n]
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
		var err error
		if dir, err = s.way.pass(base, path[:i]); err != nil {
			return -1, err
		}
		name = path[i+1:]
	}
	return openChild(dir, name, flags, 0)
}

// pass goes to a directory and returns its descriptor, which is the way's.
func (w *way) pass(base int, path string) (int, error) {
	if w.base != base {
		w.cut(0)
		w.base = base
	}
	fd := base
	for i, rest, more := 0, path, true; more; i++ {
		var name string
		name, rest, more = strings.Cut(rest, "/")
		if i < len(w.steps) {
			if w.steps[i].name == name {
				fd = w.steps[i].fd
				continue
			}
			w.cut(i)
		}
		next, err := openChild(fd, name, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return -1, err
		}
		if len(w.steps) == maxWay {
			w.cut(maxWay - 1)
			name = "" // is nobody's: what is below the last step cannot be found again
		}
		w.steps = append(w.steps, step{name, next})
		fd = next
	}
	return fd, nil
}

// leave lets go of the way: it may be another one by the next request.
func (s *server) leave() { s.way.cut(0) }
