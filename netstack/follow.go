package netstack

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
)

// A Change is what has become of a namespace since it was last read. It is passed to the Sentry as JSON.
type Change struct {
	// Gone are the indexes of links that are not there any more, or down.
	Gone []int `json:"gone,omitempty"`
	// Links are new; each has a file, in their order.
	Links []Link `json:"links,omitempty"`
	// Addresses of the links that were there before.
	Removed []LinkAddress `json:"removed,omitempty"`
	Added   []LinkAddress `json:"added,omitempty"`
	// Routes of all links but those that have gone.
	RemovedRoutes []Route `json:"removedRoutes,omitempty"`
	AddedRoutes   []Route `json:"addedRoutes,omitempty"`
	// Resolver is as in Config, if it is new.
	Resolver netip.Addr `json:"resolver,omitzero"`
}

// A LinkAddress is an address of a link.
type LinkAddress struct {
	Link    int     `json:"link"`
	Address Address `json:"address"`
}

func (c *Change) empty() bool {
	return len(c.Gone)+len(c.Links)+len(c.Removed)+len(c.Added)+len(c.RemovedRoutes)+len(c.AddedRoutes) == 0 && !c.Resolver.IsValid()
}

// A Follower takes over what comes into the network namespace of its process after Scrape has read it, and tells what
// has gone. It needs CAP_NET_ADMIN and CAP_NET_RAW there, and nothing of any file system but at the start.
type Follower struct {
	last *Config
	drop int
	udp  *os.File

	changed chan struct{}
	done    chan struct{}
}

// settle is waited for after a change, for others that belong to it.
const settle = 50 * time.Millisecond

// NewFollower begins to follow; last is what Scrape has found. It is to be called with the rights and files of root.
func NewFollower(last *Config) (*Follower, error) {
	f := &Follower{last: last, changed: make(chan struct{}, 1), done: make(chan struct{})}
	if last.Takeover == TakeoverDrop {
		var err error
		if f.drop, err = loadDropProgram(); err != nil {
			return nil, err
		}
	}
	var err error
	if f.udp, err = os.Open("/proc/thread-self/net/udp"); err != nil {
		return nil, err
	}
	return f, f.subscribe()
}

// subscribe has every change of links, addresses and routes noted.
func (f *Follower) subscribe() error {
	links, addrs, routes := make(chan netlink.LinkUpdate), make(chan netlink.AddrUpdate), make(chan netlink.RouteUpdate)
	if err := netlink.LinkSubscribe(links, f.done); err != nil {
		return fmt.Errorf("subscribe to links: %w", err)
	}
	if err := netlink.AddrSubscribe(addrs, f.done); err != nil {
		return fmt.Errorf("subscribe to addresses: %w", err)
	}
	if err := netlink.RouteSubscribe(routes, f.done); err != nil {
		return fmt.Errorf("subscribe to routes: %w", err)
	}
	go func() {
		for {
			ok := false
			select {
			case _, ok = <-links:
			case _, ok = <-addrs:
			case _, ok = <-routes:
			}
			if !ok { // so many that some were lost
				close(f.changed)
				return
			}
			select {
			case f.changed <- struct{}{}:
			default:
			}
		}
	}()
	return nil
}

// Run has apply told of each change, until that fails. The files that go with a change are closed afterwards.
func (f *Follower) Run(apply func(*Change, []*os.File) error) error {
	defer close(f.done)
	for {
		change, files, err := f.look()
		if err == nil && !change.empty() {
			err = apply(change, files)
		}
		for _, file := range files {
			file.Close()
		}
		if err != nil {
			return err
		}
		if _, ok := <-f.changed; !ok {
			return fmt.Errorf("the network namespace changes faster than it can be followed")
		}
		time.Sleep(settle)
		select {
		case <-f.changed: // is seen by the look that follows
		default:
		}
	}
}

// look reads the namespace again.
func (f *Follower) look() (*Change, []*os.File, error) {
	s := &scraper{cfg: &Config{}, taken: map[int]bool{}, drop: f.drop, udp: f.udp, resolved: f.last.Resolver.IsValid()}
	for _, l := range f.last.Links {
		s.taken[l.Index] = true
	}
	if err := s.run(); err != nil {
		return nil, s.files, err
	}
	if s.resolved {
		s.cfg.Resolver = f.last.Resolver
	}
	s.cfg.Takeover = f.last.Takeover
	change := difference(f.last, s.cfg)
	f.last = s.cfg
	return change, s.files, nil
}

// difference tells what has changed; of the links of now those are new that have a file.
func difference(before, now *Config) *Change {
	c := &Change{}
	old := map[int]*Link{}
	for i := range before.Links {
		old[before.Links[i].Index] = &before.Links[i]
	}
	there := map[int]bool{}
	for _, l := range now.Links {
		there[l.Index] = true
		o := old[l.Index]
		if o == nil {
			c.Links = append(c.Links, l)
			continue
		}
		c.Removed = append(c.Removed, addressesWithout(l.Index, o.Addresses, l.Addresses)...)
		c.Added = append(c.Added, addressesWithout(l.Index, l.Addresses, o.Addresses)...)
	}
	for _, l := range before.Links {
		if !there[l.Index] {
			c.Gone = append(c.Gone, l.Index)
		}
	}
	for _, r := range before.Routes {
		if there[r.Link] && !slices.Contains(now.Routes, r) {
			c.RemovedRoutes = append(c.RemovedRoutes, r)
		}
	}
	for _, r := range now.Routes {
		if !slices.Contains(before.Routes, r) {
			c.AddedRoutes = append(c.AddedRoutes, r)
		}
	}
	if now.Resolver != before.Resolver {
		c.Resolver = now.Resolver
	}
	return c
}

// addressesWithout lists the addresses of a that are not in b.
func addressesWithout(link int, a, b []Address) (list []LinkAddress) {
	for _, x := range a {
		if !slices.ContainsFunc(b, func(y Address) bool { return x.Prefix == y.Prefix }) {
			list = append(list, LinkAddress{link, x})
		}
	}
	return list
}
