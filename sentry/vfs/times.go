package vfs

import (
	"time"

	"golang.org/x/sys/unix"
)

// Now returns the present for c, in nanoseconds since 1970; c may be nil.
func Now(c Caller) int64 {
	if c == nil {
		return time.Now().UnixNano()
	}
	return c.Now()
}

// StatxTime converts nanoseconds since 1970.
func StatxTime(ns int64) unix.StatxTimestamp {
	sec, nsec := ns/1e9, ns%1e9
	if nsec < 0 {
		sec, nsec = sec-1, nsec+1e9
	}
	return unix.StatxTimestamp{Sec: sec, Nsec: uint32(nsec)}
}

// AtimeStale reports whether a read through m by a description with these flags is to be recorded: not with noatime,
// and with relatime only if the access time is older than a change or than a day (mount(8)).
func AtimeStale(m *Mount, flags uint32, isDir bool, now, atime, mtime, ctime int64) bool {
	f := m.Flags()
	switch {
	case flags&unix.O_NOATIME != 0, f&(unix.MS_NOATIME|unix.MS_RDONLY) != 0, isDir && f&unix.MS_NODIRATIME != 0:
		return false
	}
	return atime <= mtime || atime <= ctime || now-atime > int64(24*time.Hour)
}

// WriteLimit returns how many of n bytes may be written at off under RLIMIT_FSIZE: EFBIG, and SIGXFSZ, if none.
func WriteLimit(c Caller, off int64, n int) (int, error) {
	if off < 0 {
		return 0, unix.EINVAL
	}
	if c == nil {
		return n, nil
	}
	l := c.Limits().Get(unix.RLIMIT_FSIZE).Cur
	if uint64(off) >= l {
		if n == 0 {
			return 0, nil
		}
		c.SendSignal(int32(unix.SIGXFSZ))
		return 0, unix.EFBIG
	}
	if left := l - uint64(off); uint64(n) > left {
		n = int(left)
	}
	return n, nil
}

// AfterWrite drops the set-ID bits and the capabilities a write by c takes from a file.
func AfterWrite(c Caller, in Inode) {
	dropFileCaps(c, in)
	b := in.Base()
	if c == nil || b.Mode()&(unix.S_ISUID|unix.S_ISGID) == 0 {
		return
	}
	a := &SetAttr{}
	if dropSetID(c, b, a); a.Mask != 0 {
		_ = in.SetAttr(c, a) // the write itself is done
	}
}
