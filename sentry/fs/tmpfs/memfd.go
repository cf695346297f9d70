package tmpfs

import (
	"golang.org/x/sys/unix"
	"ringfort/sentry/pgalloc"
	"ringfort/sentry/vfs"
)

// Memfds is the hidden file system memfd_create(2) makes files in.
type Memfds struct{ fs *fileSystem }

// NewMemfds returns one with its pages in mem.
func NewMemfds(mem *pgalloc.File) *Memfds {
	return &Memfds{newFS(mem, Options{})}
}

// Create returns a description, with one reference, of a new nameless file. mode is 0777, or 0666 with
// MFD_NOEXEC_SEAL; seals are those it has from the start.
func (m *Memfds) Create(c vfs.Caller, name string, mode, seals uint32) *vfs.Description {
	creds := c.Creds()
	in := m.fs.newInode(c, unix.S_IFREG|mode, creds.FSUID, creds.FSGID)
	in.SetNlink(0)
	in.seals.Store(seals | sealable)
	p := vfs.NewNamelessPath(in, "/memfd:"+name+" (deleted)")
	return vfs.NewDescription(&regFile{in: in}, p, unix.O_RDWR|unix.O_LARGEFILE)
}

// sealable marks files that have seals at all: only memfds do.
const sealable = 1 << 31

const allSeals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_FUTURE_WRITE | unix.F_SEAL_EXEC

// Seals is F_GET_SEALS.
func (f *regFile) Seals() (uint32, error) {
	s := f.in.seals.Load()
	if s&sealable == 0 {
		return 0, unix.EINVAL
	}
	return s & allSeals, nil
}

// AddSeals is F_ADD_SEALS.
func (f *regFile) AddSeals(add uint32) error {
	in := f.in
	in.mu.Lock()
	defer in.mu.Unlock()
	s := in.seals.Load()
	switch {
	case s&sealable == 0 || add&^uint32(allSeals) != 0:
		return unix.EINVAL
	case s&unix.F_SEAL_SEAL != 0:
		return unix.EPERM
	case add&unix.F_SEAL_WRITE != 0 && in.mappings.Writable():
		return unix.EBUSY
	}
	if add&unix.F_SEAL_EXEC != 0 && in.Mode()&0111 != 0 {
		add |= unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_FUTURE_WRITE
	}
	in.seals.Store(s | add)
	return nil
}
