package kernel

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"ringfort/sentry/memmap"
	"ringfort/sentry/vfs"
)

// MappedFile is what a file mapping keeps of its file: a reference, so that the
// file stays open and can be named in /proc/PID/maps. It implements memmap.Identity.
type MappedFile struct {
	refs     atomic.Int64
	k        *Kernel
	d        *vfs.Description
	dev, ino uint64
}

// NewMappedFile returns the identity of d with one reference; it takes its own
// reference on d.
func (t *Task) NewMappedFile(d *vfs.Description) *MappedFile {
	f := &MappedFile{k: t.k, d: d}
	if st, err := d.Stat(t); err == nil {
		f.dev, f.ino = unix.Mkdev(st.Dev_major, st.Dev_minor), st.Ino
	}
	d.IncRef()
	f.refs.Store(1)
	return f
}

// Description returns the file.
func (f *MappedFile) Description() *vfs.Description { return f.d }

// MappedName implements memmap.Identity.
func (f *MappedFile) MappedName(viewer any) (string, uint64, uint64) {
	c, _ := viewer.(vfs.Caller)
	return f.d.Path().String(c), f.dev, f.ino
}

// IncRef implements memmap.Identity.
func (f *MappedFile) IncRef() { f.refs.Add(1) }

// DecRef implements memmap.Identity.
func (f *MappedFile) DecRef() {
	if f.refs.Add(-1) == 0 {
		f.d.DecRef(f.k.NewCaller(nil, nil))
	}
}

var _ memmap.Identity = (*MappedFile)(nil)
