package boot

import (
	"ringfort/sentry/fs/cgroupfs"
	"ringfort/sentry/fs/devpts"
	"ringfort/sentry/fs/devtmpfs"
	"ringfort/sentry/fs/overlay"
	"ringfort/sentry/fs/proc"
	"ringfort/sentry/fs/sysfs"
	"ringfort/sentry/fs/tmpfs"
	"ringfort/sentry/kernel"
	"ringfort/sentry/vfs"
	"ringfort/syscalls"
)

// registerFileSystems makes the file systems known that mount(2) and a spec
// name.
func registerFileSystems(k *kernel.Kernel) {
	devpts.Register(k)
	id := proc.Identity{Release: syscalls.Release, Version: syscalls.Version}
	vfs.RegisterFS(&vfs.FSType{Name: "proc", UserMount: true, New: func(c vfs.Caller, _ vfs.MountSource) (*vfs.Superblock, error) {
		ns := kernel.PIDNamespaceOf(c)
		if ns == nil {
			ns = k.RootPIDNS()
		}
		return proc.New(k, ns, id), nil
	}})
	vfs.RegisterFS(&vfs.FSType{Name: "sysfs", UserMount: true, New: func(c vfs.Caller, _ vfs.MountSource) (*vfs.Superblock, error) {
		return sysfs.New(k, c), nil
	}})
	vfs.RegisterFS(&vfs.FSType{Name: "cgroup", New: func(c vfs.Caller, _ vfs.MountSource) (*vfs.Superblock, error) {
		return cgroupfs.NewV1(k, c), nil
	}})
	vfs.RegisterFS(&vfs.FSType{Name: "cgroup2", New: func(c vfs.Caller, _ vfs.MountSource) (*vfs.Superblock, error) {
		return cgroupfs.NewV2(k, c), nil
	}})
	vfs.RegisterFS(&vfs.FSType{Name: "devtmpfs", New: func(vfs.Caller, vfs.MountSource) (*vfs.Superblock, error) {
		return devtmpfs.New(k.MemoryFile())
	}})
	newTmpfs := func(c vfs.Caller, s vfs.MountSource) (*vfs.Superblock, error) {
		o, err := tmpfs.ParseOptions(c, s.Data)
		if err != nil {
			return nil, err
		}
		o.Source = s.Source
		o.Memory = k.MemoryTotal()
		if con := kernel.ContainerOf(c); con != nil {
			o.Memory = con.MemoryTotal()
		}
		return tmpfs.New(k.MemoryFile(), o), nil
	}
	for _, name := range []string{"tmpfs", "ramfs"} {
		vfs.RegisterFS(&vfs.FSType{Name: name, New: newTmpfs, UserMount: true})
	}
	vfs.RegisterFS(&vfs.FSType{Name: "mqueue", UserMount: true, New: func(c vfs.Caller, _ vfs.MountSource) (*vfs.Superblock, error) {
		ns := kernel.IPCNamespaceOf(c)
		if ns == nil {
			ns = k.RootIPCNS()
		}
		return ns.MQ().Superblock(), nil
	}})
}

// overlayMemory returns lower with a tmpfs above it that takes all writes.
func overlayMemory(k *kernel.Kernel, lower *vfs.Superblock) *vfs.Superblock {
	return overlay.New(k.MemoryFile(), lower)
}
