package container

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/moby/sys/userns"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"ringfort/runsc/spec"
	"ringfort/sentry/auth"
)

// ordinary reports whether this runsc has no power over the host but that of its user. Sentry and gofer run as that
// user then, each in a user namespace of its own where he is root.
func ordinary() bool { return os.Geteuid() != 0 }

// Rootless reports whether the host is not ours: we are an ordinary user, or root in a user namespace only.
func Rootless() bool { return ordinary() || userns.RunningInUserNS() }

// ownMap maps root in a new user namespace to this user.
func ownMap(id int) []syscall.SysProcIDMap {
	return []syscall.SysProcIDMap{{ContainerID: 0, HostID: id, Size: 1}}
}

// sentryIDs chooses the user and the group of ours as which a Sentry runs: nobody, or, where our user namespace has no
// nobody, the highest it has.
func sentryIDs() (uid, gid int) {
	return highestID("/proc/self/uid_map"), highestID("/proc/self/gid_map")
}

// highestID returns sentryUser if a map has it, else the highest ID that it has.
func highestID(file string) int {
	extents, err := readMap(file)
	if err != nil {
		return sentryUser
	}
	best := 0
	for _, e := range extents {
		if sentryUser-e.First < e.Count {
			return sentryUser
		}
		best = max(best, int(e.First+e.Count-1))
	}
	return best
}

// readMap reads a uid_map or gid_map (user_namespaces(7)).
func readMap(file string) (extents []auth.Extent, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var e auth.Extent
		if _, err := fmt.Sscan(lines.Text(), &e.First, &e.ParentFirst, &e.Count); err != nil {
			return nil, fmt.Errorf("%s: %q: %w", file, lines.Text(), err)
		}
		extents = append(extents, e)
	}
	return extents, lines.Err()
}

// userMaps returns the maps of the container's user namespace, nil if it has none. One that is given by its path is not
// joined, for the IDs of a sandbox are the Sentry's alone: it gets the same maps.
func userMaps(s *specs.Spec) (uids, gids []auth.Extent, err error) {
	ns, ok := spec.UserNamespace(s)
	if !ok {
		return nil, nil, nil
	}
	if ns.Path == "" || len(s.Linux.UIDMappings) > 0 {
		return extents(s.Linux.UIDMappings), extents(s.Linux.GIDMappings), nil
	}
	refuse := func(err error) error {
		return fmt.Errorf("linux.namespaces: user: %s: its maps cannot be found (%w); give linux.uidMappings and linux.gidMappings, or the path as /proc/PID/ns/user", ns.Path, err)
	}
	dir, name, ok := strings.Cut(filepath.Clean(ns.Path), "/ns/")
	if !ok || name != "user" || !strings.HasPrefix(dir, "/proc/") {
		return nil, nil, refuse(errors.New("it is no file of a process"))
	}
	if uids, err = readMap(filepath.Join(dir, "uid_map")); err != nil {
		return nil, nil, refuse(err)
	}
	if gids, err = readMap(filepath.Join(dir, "gid_map")); err != nil {
		return nil, nil, refuse(err)
	}
	if len(uids) == 0 || len(gids) == 0 {
		return nil, nil, refuse(errors.New("they are empty"))
	}
	return uids, gids, nil
}

func extents(list []specs.LinuxIDMapping) (to []auth.Extent) {
	for _, m := range list {
		to = append(to, auth.Extent{First: m.ContainerID, ParentFirst: m.HostID, Count: m.Size})
	}
	return to
}

// identities decides whose IDs those of the container are. The gofer of an ordinary user sees the host through a user
// namespace that has the same maps as the container, so that its IDs are the container's already.
func (b *birth) identities() (err error) {
	if b.uidMap, b.gidMap, err = userMaps(b.Spec); err != nil {
		return err
	}
	if b.sandbox != nil {
		uids, gids, err := userMaps(b.sandbox.root.Spec)
		if err == nil && !(slices.Equal(uids, b.uidMap) && slices.Equal(gids, b.gidMap)) {
			err = fmt.Errorf("linux.uidMappings, linux.gidMappings: not those of sandbox %s, whose user namespace its containers share", b.sandbox.root.ID)
		}
		if err != nil {
			return err
		}
	}
	if !ordinary() {
		b.rootUID, b.rootGID = rootOf(b.uidMap), rootOf(b.gidMap)
		return nil
	}
	for _, m := range []struct {
		name string
		list []auth.Extent
		own  int
	}{{"uidMappings", b.uidMap, os.Geteuid()}, {"gidMappings", b.gidMap, os.Getegid()}} {
		if len(m.list) > 0 && rootOf(m.list) != uint32(m.own) {
			return fmt.Errorf("linux.%s: who runs the container without being root has to be root in it: map 0 to %d", m.name, m.own)
		}
	}
	if needHelper(b.uidMap) || needHelper(b.gidMap) {
		b.goferUIDs, b.goferGIDs = b.uidMap, b.gidMap
	}
	b.uidMap, b.gidMap = nil, nil
	return nil
}

// rootOf returns what root of the container is outside of it, 0 if it is nobody there.
func rootOf(list []auth.Extent) uint32 {
	for _, e := range list {
		if e.First == 0 {
			return e.ParentFirst
		}
	}
	return 0
}

// needHelper reports whether a map has more than a user may write himself, his own ID.
func needHelper(list []auth.Extent) bool { return len(list) > 1 || len(list) == 1 && list[0].Count > 1 }

// mapGofer gives the gofer of an ordinary user the IDs that he may use beside his own. Two programs that have the right
// do it, and look at /etc/subuid and /etc/subgid (newuidmap(1)).
func (b *birth) mapGofer() error {
	for _, m := range []struct {
		program, field string
		list           []auth.Extent
	}{{"newuidmap", "uidMappings", b.goferUIDs}, {"newgidmap", "gidMappings", b.goferGIDs}} {
		args := []string{strconv.Itoa(b.gofer.Pid)}
		for _, e := range m.list {
			for _, n := range []uint32{e.First, e.ParentFirst, e.Count} {
				args = append(args, strconv.FormatUint(uint64(n), 10))
			}
		}
		out, err := exec.Command(m.program, args...).CombinedOutput()
		if errors.Is(err, exec.ErrNotFound) {
			return fmt.Errorf("linux.%s: more than one ID takes the program %s (Debian: package uidmap)", m.field, m.program)
		}
		if err != nil {
			return fmt.Errorf("linux.%s: %s: %w: %s", m.field, m.program, err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}
