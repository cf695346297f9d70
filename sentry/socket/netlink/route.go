package netlink

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/vfs"
)

// route dispatches rtnetlink(7) requests. Messages of a kind come in fours:
// NEW, DEL, GET, SET; a change takes CAP_NET_ADMIN.
func (s *Socket) route(c vfs.Caller, r *request) (acked bool, err error) {
	const get = 2
	if r.typ&3 != get && !c.Creds().HasCapIn(unix.CAP_NET_ADMIN, s.ns.UserNS) {
		return false, unix.EPERM
	}
	if r.typ&3 == get && r.flags&unix.NLM_F_DUMP != 0 {
		d := &dump{s: s, r: r}
		if err := s.dump(d); err != nil {
			return false, err
		}
		d.end()
		return true, nil
	}
	switch r.typ {
	case unix.RTM_GETLINK:
		return false, s.getLink(r)
	case unix.RTM_NEWLINK, unix.RTM_SETLINK:
		return false, s.setLink(r)
	case unix.RTM_NEWADDR:
		return false, s.newAddr(r)
	case unix.RTM_DELADDR:
		return false, s.delAddr(r)
	case unix.RTM_GETROUTE:
		return false, s.getRoute(r)
	case unix.RTM_NEWROUTE:
		return false, s.newRoute(r)
	case unix.RTM_DELROUTE:
		return false, s.delRoute(r)
	case unix.RTM_NEWNEIGH:
		return false, s.newNeigh(r)
	case unix.RTM_DELNEIGH:
		return false, s.delNeigh(r)
	}
	return false, unix.EOPNOTSUPP
}

// dump lists the objects of a kind.
func (s *Socket) dump(d *dump) error {
	switch d.r.typ {
	case unix.RTM_GETLINK:
		s.dumpLinks(d)
	case unix.RTM_GETADDR:
		s.dumpAddrs(d)
	case unix.RTM_GETROUTE:
		s.dumpRoutes(d)
	case unix.RTM_GETNEIGH:
		s.dumpNeighs(d)
	case unix.RTM_GETRULE:
		s.dumpRules(d)
	case unix.RTM_GETQDISC, unix.RTM_GETTCLASS, unix.RTM_GETTFILTER, unix.RTM_GETADDRLABEL, unix.RTM_GETNEIGHTBL,
		unix.RTM_GETNETCONF, unix.RTM_GETMULTICAST, unix.RTM_GETANYCAST:
		// There are none.
	default:
		return unix.EOPNOTSUPP
	}
	return nil
}

// family is the first byte of every fixed part.
func (r *request) family() uint8 {
	if len(r.body) == 0 {
		return unix.AF_UNSPEC
	}
	return r.body[0]
}
