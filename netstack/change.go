package netstack

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
)

// Apply does what has happened to the host's namespace to the stack as well. What a program inside has done before, as to
// take an address away, is no failure. The Stack owns files from here on.
func (s *Stack) Apply(c *Change, files []*os.File) error {
	want := len(c.Links)
	if c.Resolver.IsValid() {
		want++
	}
	if len(files) != want {
		closeFiles(files)
		return fmt.Errorf("%d files for %d links and resolvers: %w", len(files), want, unix.EINVAL)
	}
	var errs []error
	note := func(what any, err error) {
		switch {
		case err == nil, errors.Is(err, unix.EEXIST), errors.Is(err, unix.ESRCH), errors.Is(err, unix.ENODEV), errors.Is(err, unix.EADDRNOTAVAIL):
		default:
			errs = append(errs, fmt.Errorf("%v: %w", what, err))
		}
	}
	for _, index := range c.Gone {
		note(index, s.removeLink(index))
	}
	for i := range c.Links {
		note(c.Links[i].Name, s.addLink(&c.Links[i], files[i]))
	}
	for _, a := range c.Removed {
		note(a.Address.Prefix, s.RemoveAddress(a.Link, a.Address.Prefix))
	}
	for _, a := range c.Added {
		note(a.Address.Prefix, s.AddAddress(a.Link, a.Address))
	}
	for _, r := range c.RemovedRoutes {
		note(r.Dst, s.RemoveRoute(func(o Route) bool { return o == r }))
	}
	for _, direct := range []bool{true, false} { // a gateway has to be on a link
		for _, r := range c.AddedRoutes {
			if direct != r.Gateway.IsValid() {
				note(r.Dst, s.AddRoute(r))
			}
		}
	}
	if c.Resolver.IsValid() {
		note("resolver", s.lateResolver(c, files[len(files)-1]))
	}
	return errors.Join(errs...)
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// addLink adds a link whose packet socket is f.
func (s *Stack) addLink(l *Link, f *os.File) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		f.Close()
		return nil
	}
	if err := s.addEthernet(l, f); err != nil {
		f.Close()
		return err
	}
	s.files = append(s.files, f)
	return nil
}

// removeLink takes a link away with all that goes through it. ENODEV if there is none.
func (s *Stack) removeLink(index int) error {
	s.mu.Lock()
	l := s.links[index]
	if l == nil || index == LoopbackIndex {
		s.mu.Unlock()
		return unix.ENODEV
	}
	delete(s.links, index)
	s.routes = slices.DeleteFunc(s.routes, func(r Route) bool { return r.Link == index })
	s.applyRoutesLocked()
	s.files = slices.DeleteFunc(s.files, func(f *os.File) bool { return f == l.file })
	s.mu.Unlock()
	err := s.inner.RemoveNIC(tcpip.NICID(index)) // waits for the goroutines that use the file
	if l.file != nil {
		l.file.Close()
	}
	if err != nil {
		return Errno(err)
	}
	return nil
}

// lateResolver starts the resolver if there is none.
func (s *Stack) lateResolver(c *Change, f *os.File) error {
	if s.resolver.Load() != nil {
		f.Close()
		return nil
	}
	return s.startResolver(c.Resolver, f)
}
