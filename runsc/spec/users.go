package spec

import (
	"fmt"
	"slices"

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

// idMapped checks the maps of a mount, which are of a bind mount and both there.
func (c *checker) idMapped(field string, m *specs.Mount) {
	uids, gids := m.UIDMappings, m.GIDMappings
	option := slices.Contains(m.Options, "idmap") || slices.Contains(m.Options, "ridmap")
	switch {
	case len(uids)+len(gids) == 0 && !option:
		return
	case !IsBind(m):
		c.bad(field+".uidMappings", "%s: only bind mounts can be ID-mapped", m.Destination)
	case (len(uids) == 0) != (len(gids) == 0):
		c.bad(field+".uidMappings", "%s: there are maps of users or of groups, but not of both", m.Destination)
	}
	c.extents(field+".uidMappings", uids)
	c.extents(field+".gidMappings", gids)
}

// IDMaps returns the maps of a mount, those of the container's user namespace if it is to be mapped and has none of its
// own. From ContainerID on are the IDs on the host's disk, from HostID on what they mean (runtime-spec, config.md,
// "POSIX-platform Mounts").
func IDMaps(s *specs.Spec, m *specs.Mount) (uids, gids []specs.LinuxIDMapping) {
	if len(m.UIDMappings) == 0 && s.Linux != nil && (slices.Contains(m.Options, "idmap") || slices.Contains(m.Options, "ridmap")) {
		return s.Linux.UIDMappings, s.Linux.GIDMappings
	}
	return m.UIDMappings, m.GIDMappings
}
