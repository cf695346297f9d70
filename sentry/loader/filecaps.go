package loader

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"ringfort/sentry/auth"
	"ringfort/sentry/kernel"
	"ringfort/sentry/vfs"
)

// The layout of security.capability, struct vfs_cap_data and vfs_ns_cap_data of
// linux/capability.h: a word of revision and flag, then for each 32
// capabilities the permitted and the inheritable ones, then, in revision 3, the
// user ID in the file system's namespace that is root where they count. All
// little-endian.
const (
	capRevisionMask = 0xff000000
	capRevision1    = 0x01000000
	capRevision2    = 0x02000000
	capRevision3    = 0x03000000
	capEffective    = 1
)

// fileCaps are the capabilities of a program.
type fileCaps struct {
	permitted, inheritable auth.CapSet
	effective              bool // raise the permitted ones at once
	rootID                 uint32
}

// parseFileCaps reads the value of security.capability. EINVAL if it is none of the three revisions.
func parseFileCaps(b []byte) (f fileCaps, err error) {
	if len(b) < 4 {
		return f, unix.EINVAL
	}
	word := func(i int) uint64 { return uint64(binary.LittleEndian.Uint32(b[4*i:])) }
	magic := uint32(word(0))
	size := map[uint32]int{capRevision1: 12, capRevision2: 20, capRevision3: 24}[magic&capRevisionMask]
	if size == 0 || len(b) != size {
		return f, unix.EINVAL
	}
	f.effective = magic&capEffective != 0
	f.permitted, f.inheritable = auth.CapSet(word(1)), auth.CapSet(word(2))
	if size > 12 {
		f.permitted |= auth.CapSet(word(3) << 32)
		f.inheritable |= auth.CapSet(word(4) << 32)
	}
	if size > 20 {
		f.rootID = uint32(word(5))
	}
	f.permitted &= auth.AllCaps
	f.inheritable &= auth.AllCaps
	return f, nil
}

// capsOf returns the capabilities of d that count for a task with credentials
// c: none on a nosuid mount or if another namespace's root gave them.
func capsOf(t *kernel.Task, d *vfs.Description, st *unix.Statx_t, c *auth.Credentials) (f fileCaps, ok bool, err error) {
	if d.Path().Mount().Flags()&unix.MS_NOSUID != 0 {
		return f, false, nil
	}
	b, err := vfs.FileCaps(t, d.Inode(), st.Ctime.Sec*1e9+int64(st.Ctime.Nsec))
	if b == nil || err != nil {
		return f, false, err
	}
	if f, err = parseFileCaps(b); err != nil {
		return f, false, err
	}
	for ns := c.UserNS; ns != nil; ns = ns.Parent() {
		if ns.MapsUID(auth.KUID(f.rootID)) && ns.UID(auth.KUID(f.rootID)) == 0 {
			return f, true, nil
		}
	}
	return f, false, nil
}
