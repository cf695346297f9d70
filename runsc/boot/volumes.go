package boot

import (
	"fmt"
	"os"
	"sync"

	"ringfort/runsc/control"
	goferfs "ringfort/sentry/fs/gofer"
	"ringfort/sentry/vfs"
)

// volumes are the file systems that containers of the sandbox share because they mount the same file or directory of
// the host. One lives as long as a container that mounts it, whoever brought the connection to its gofer.
//
// mu is held while a gofer is asked for a root; no lock is taken by its holder but those of file systems.
type volumes struct {
	mu   sync.Mutex
	list map[string]*volume
}

type volume struct {
	sb    *vfs.Superblock
	hold  vfs.Path // a mount nobody sees, which keeps sb
	users int
}

// get returns the file system of a bind mount, and the name by which drop takes it. The connections of m are used or
// closed.
func (v *volumes) get(m *control.MountConn, ids *goferfs.IDMap) (*vfs.Superblock, string, error) {
	open := func() (*vfs.Superblock, error) {
		sb, err := goferfs.New(m.Conn, m.FDs, goferfs.Options{Shared: !m.Exclusive, Source: m.Source, IDs: ids})
		if err == nil {
			sb.RootName = m.Source
		}
		return sb, err
	}
	if m.Key == "" || m.Exclusive {
		sb, err := open()
		return sb, "", err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	// What may be written is good for readers, whose mounts are read-only for themselves; not the other way round.
	name := m.Key
	if ids != nil {
		name += fmt.Sprint(*ids) // other owners are another file system
	}
	keys := []string{name + " rw"}
	if m.ReadOnly {
		keys = append(keys, name+" ro")
	}
	for _, key := range keys {
		if vol := v.list[key]; vol != nil {
			vol.users++
			closeFiles([]*os.File{m.Conn, m.FDs})
			return vol.sb, key, nil
		}
	}
	sb, err := open()
	if err != nil {
		return nil, "", err
	}
	if v.list == nil {
		v.list = map[string]*volume{}
	}
	key := keys[len(keys)-1]
	v.list[key] = &volume{sb: sb, hold: vfs.NewKernelMount(sb), users: 1}
	return sb, key, nil
}

// drop says that a container does not use volumes any more.
func (v *volumes) drop(keys []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, key := range keys {
		vol := v.list[key]
		if vol.users--; vol.users == 0 {
			delete(v.list, key)
			vol.hold.DecRef()
		}
	}
}
