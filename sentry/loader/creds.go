package loader

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/auth"
	"ringfort/sentry/kernel"
	"ringfort/sentry/vfs"
)

// Bits of Credentials.SecureBits (capabilities(7)).
const (
	secbitNoRoot = 1 << 0
)

// execCreds returns the credentials after execve(2) of d: set-user-ID and
// set-group-ID bits, and the rules of capabilities(7), "Transformation of
// capabilities during execve()" and "Capabilities and execution of programs by
// root". EPERM if the program wants capabilities it cannot get.
func execCreds(t *kernel.Task, d *vfs.Description) (c *auth.Credentials, secure bool, err error) {
	old := t.Creds()
	c = old.Copy()
	st, err := d.Stat(t)
	if err != nil {
		return nil, false, err
	}
	setID(c, d, &st)
	changed := c.EUID != old.EUID || c.EGID != old.EGID
	fc, hasCaps, err := capsOf(t, d, &st, c)
	if err != nil {
		return nil, false, err
	}
	if changed || hasCaps {
		c.Ambient = 0
	}
	permitted := old.Inheritable&fc.inheritable | old.Bounding&fc.permitted
	if fc.effective && fc.permitted&^permitted != 0 {
		return nil, false, unix.EPERM
	}
	effective := fc.effective
	root, _ := c.UserNS.KUID(0)
	isRoot := c.SecureBits&secbitNoRoot == 0 && (c.EUID == root || c.RUID == root)
	if isRoot && !(hasCaps && c.EUID == root && c.RUID != root) {
		permitted = old.Inheritable | old.Bounding
		effective = effective || c.EUID == root
	}
	// With no_new_privs a program gives nothing its caller does not have (prctl(2)).
	if c.NoNewPrivs {
		permitted &= old.Permitted
	}
	c.Permitted = permitted | c.Ambient
	c.Effective = c.Ambient
	if effective {
		c.Effective = c.Permitted
	}
	c.KeepCaps = false
	c.SUID, c.FSUID, c.SGID, c.FSGID = c.EUID, c.EUID, c.EGID, c.EGID
	raised := c.RUID != root && (effective || c.Permitted&^c.Ambient != 0)
	secure = changed || c.RUID != c.EUID || c.RGID != c.EGID || raised
	return c, secure, nil
}

// setID gives c the user and group that the mode of d says, where set-ID bits count.
func setID(c *auth.Credentials, d *vfs.Description, st *unix.Statx_t) {
	if c.NoNewPrivs || d.Path().Mount().Flags()&unix.MS_NOSUID != 0 {
		return
	}
	if st.Mode&unix.S_ISUID != 0 && c.UserNS.MapsUID(auth.KUID(st.Uid)) {
		c.EUID = auth.KUID(st.Uid)
	}
	if st.Mode&(unix.S_ISGID|unix.S_IXGRP) == unix.S_ISGID|unix.S_IXGRP && c.UserNS.MapsGID(auth.KGID(st.Gid)) {
		c.EGID = auth.KGID(st.Gid)
	}
}
