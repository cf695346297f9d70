package goferfs

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/auth"
)

// IDMap says whom files belong to whose owners on the host mean others (mount_setattr(2), "ID-mapped mounts"): First of an
// extent is the host's ID, ParentFirst what it is here. A nil IDMap leaves all as they are.
type IDMap struct{ UIDs, GIDs []auth.Extent }

// owner maps an owner on the host; one that has no name here is nobody.
func (m *IDMap) owner(uid, gid uint32) (auth.KUID, auth.KGID) {
	if m == nil {
		return auth.KUID(uid), auth.KGID(gid)
	}
	return auth.KUID(mapID(m.UIDs, uid, false)), auth.KGID(mapID(m.GIDs, gid, false))
}

// host maps an owner to that on the host, EOVERFLOW if there is none.
func (m *IDMap) host(uid auth.KUID, gid auth.KGID) (uint32, uint32, error) {
	if m == nil {
		return uint32(uid), uint32(gid), nil
	}
	u, g := mapID(m.UIDs, uint32(uid), true), mapID(m.GIDs, uint32(gid), true)
	if u == auth.NoID || g == auth.NoID {
		return 0, 0, unix.EOVERFLOW
	}
	return u, g, nil
}

func mapID(list []auth.Extent, id uint32, back bool) uint32 {
	for _, e := range list {
		from, to := e.First, e.ParentFirst
		if back {
			from, to = to, from
		}
		if id-from < e.Count {
			return to + (id - from)
		}
	}
	return auth.NoID
}
