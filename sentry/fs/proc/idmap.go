package proc

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"ringfort/sentry/auth"
	"ringfort/sentry/vfs"
)

func trim(s string) string { return strings.TrimSpace(strings.TrimRight(s, "\x00")) }

// formatIDMap writes the map of ns with parent IDs as c's namespace calls them (user_namespaces(7)).
func formatIDMap(c vfs.Caller, ns *auth.UserNamespace, group bool) string {
	uids, gids := ns.Maps()
	es := uids
	if group {
		es = gids
	}
	var b strings.Builder
	for _, e := range es {
		first := e.ParentFirst
		if c != nil && ns.Parent() != nil {
			reader := c.Creds().UserNS
			if reader != ns {
				if group {
					k, _ := ns.Parent().KGID(first)
					first = reader.GID(k)
				} else {
					k, _ := ns.Parent().KUID(first)
					first = reader.UID(k)
				}
			}
		}
		fmt.Fprintf(&b, "%10d %10d %10d\n", e.First, first, e.Count)
	}
	return b.String()
}

// maxExtents is how many lines a map may have.
const maxExtents = 340

// putIDMap sets the map of ns, once, by the rules of user_namespaces(7).
func putIDMap(c vfs.Caller, ns *auth.UserNamespace, group bool, text string) error {
	parent := ns.Parent()
	if parent == nil || c == nil {
		return unix.EPERM
	}
	es, err := parseExtents(text)
	if err != nil {
		return err
	}
	creds := c.Creds()
	// The writer is in the namespace or its parent, and privileged in the namespace.
	if creds.UserNS != ns && creds.UserNS != parent || !creds.HasCapIn(unix.CAP_SYS_ADMIN, ns) {
		return unix.EPERM
	}
	if !mayMap(creds, ns, es, group) {
		return unix.EPERM
	}
	for _, e := range es {
		last := e.ParentFirst + e.Count - 1
		for _, id := range [...]uint32{e.ParentFirst, last} {
			var ok bool
			if group {
				_, ok = parent.KGID(id)
			} else {
				_, ok = parent.KUID(id)
			}
			if !ok {
				return unix.EPERM
			}
		}
	}
	if group && !ns.SetGIDMap(es) || !group && !ns.SetUIDMap(es) {
		return unix.EPERM
	}
	return nil
}

// mayMap checks who may map which IDs: with CAP_SETUID or CAP_SETGID in the parent any, else only one's own, and
// groups only after setgroups(2) was denied.
func mayMap(creds *auth.Credentials, ns *auth.UserNamespace, es []auth.Extent, group bool) bool {
	parent := ns.Parent()
	capability := unix.CAP_SETUID
	if group {
		capability = unix.CAP_SETGID
	}
	if creds.HasCapIn(capability, parent) {
		return true
	}
	if len(es) != 1 || es[0].Count != 1 || creds.EUID != ns.Owner() {
		return false
	}
	if group {
		k, ok := parent.KGID(es[0].ParentFirst)
		return ok && k == creds.EGID && !ns.Setgroups()
	}
	k, ok := parent.KUID(es[0].ParentFirst)
	return ok && k == creds.EUID
}

func parseExtents(text string) ([]auth.Extent, error) {
	var es []auth.Extent
	for _, line := range strings.Split(trim(text), "\n") {
		f := strings.Fields(line)
		if len(f) != 3 || len(es) >= maxExtents {
			return nil, unix.EINVAL
		}
		var n [3]uint32
		for i, s := range f {
			v, err := strconv.ParseUint(s, 10, 32)
			if err != nil {
				return nil, unix.EINVAL
			}
			n[i] = uint32(v)
		}
		e := auth.Extent{First: n[0], ParentFirst: n[1], Count: n[2]}
		if e.Count == 0 || e.First+e.Count-1 < e.First || e.ParentFirst+e.Count-1 < e.ParentFirst {
			return nil, unix.EINVAL
		}
		for _, o := range es {
			if e.First < o.First+o.Count && o.First < e.First+e.Count ||
				e.ParentFirst < o.ParentFirst+o.Count && o.ParentFirst < e.ParentFirst+e.Count {
				return nil, unix.EINVAL
			}
		}
		es = append(es, e)
	}
	return es, nil
}
