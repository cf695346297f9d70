package vfs

import "golang.org/x/sys/unix"

// DirentType returns the DT_* of a mode.
func DirentType(mode uint32) uint8 { return uint8(mode & unix.S_IFMT >> 12) }

// EmitDots emits "." and "..", which are at positions 0 and 1 of every directory here. It returns the position after
// them and whether to go on with the rest, from position 2.
func EmitDots(d *Description, pos int64, emit func(Dirent) bool) (int64, bool) {
	p := d.path.dentry
	if pos <= 0 {
		if !emit(Dirent{Name: ".", Ino: p.inode.Base().ino, Type: unix.DT_DIR, Next: 1}) {
			return 0, false
		}
		pos = 1
	}
	if pos == 1 {
		up := p.Parent()
		if up == nil {
			up = p
		}
		if !emit(Dirent{Name: "..", Ino: up.inode.Base().ino, Type: unix.DT_DIR, Next: 2}) {
			return 1, false
		}
		pos = 2
	}
	return pos, true
}

// SeekDir is lseek on a directory whose positions are opaque.
func SeekDir(off int64, whence int32, cur int64) (int64, error) {
	switch whence {
	case unix.SEEK_SET:
	case unix.SEEK_CUR:
		off += cur
	default:
		return 0, unix.EINVAL
	}
	if off < 0 {
		return 0, unix.EINVAL
	}
	return off, nil
}

// SeekSize is lseek on a file of a known size without holes.
func SeekSize(off int64, whence int32, cur, size int64) (int64, error) {
	switch whence {
	case unix.SEEK_SET:
	case unix.SEEK_CUR:
		if off > 0 && cur > maxOffset-off {
			return 0, unix.EINVAL
		}
		off += cur
	case unix.SEEK_END:
		if off > 0 && size > maxOffset-off {
			return 0, unix.EINVAL
		}
		off += size
	case unix.SEEK_DATA, unix.SEEK_HOLE:
		if off < 0 || off >= size {
			return 0, unix.ENXIO
		}
		if whence == unix.SEEK_HOLE {
			off = size
		}
	default:
		return 0, unix.EINVAL
	}
	if off < 0 {
		return 0, unix.EINVAL
	}
	return off, nil
}

const maxOffset = int64(^uint64(0) >> 1)
