package spec

import (
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// maxExtents is how many lines a uid_map can have (user_namespaces(7)).
const maxExtents = 340

// userNamespace checks the maps of the container's user namespace.
func (c *checker) userNamespace(s *specs.Spec) {
	ns, ok := UserNamespace(s)
	uids, gids := s.Linux.UIDMappings, s.Linux.GIDMappings
	switch {
	case !ok && len(uids)+len(gids) > 0:
		c.bad("linux.uidMappings", "there is no user namespace in linux.namespaces to which it could apply")
	case ok && ns.Path == "" && len(uids) == 0:
		c.bad("linux.uidMappings", "missing: the user namespace maps no user")
	case ok && (ns.Path == "" || len(uids) > 0) && len(gids) == 0:
		c.bad("linux.gidMappings", "missing: the user namespace maps no group")
	}
	c.extents("linux.uidMappings", uids)
	c.extents("linux.gidMappings", gids)
}

func (c *checker) extents(field string, list []specs.LinuxIDMapping) {
	if len(list) > maxExtents {
		c.bad(field, "%d lines are more than %d", len(list), maxExtents)
	}
	const ids = 1 << 32
	overlap := func(a, b, n, m uint32) bool { return a-b < m || b-a < n }
	for i, m := range list {
		at := fmt.Sprintf("%s[%d]", field, i)
		switch {
		case m.Size == 0:
			c.bad(at+".size", "0 maps nothing")
		case uint64(m.ContainerID)+uint64(m.Size) >= ids || uint64(m.HostID)+uint64(m.Size) >= ids:
			c.bad(at, "%d from %d to %d is more than there are", m.Size, m.ContainerID, m.HostID)
		}
		for _, o := range list[:i] {
			if overlap(m.ContainerID, o.ContainerID, m.Size, o.Size) || overlap(m.HostID, o.HostID, m.Size, o.Size) {
				c.bad(at, "maps again what is mapped already")
			}
		}
	}
}
