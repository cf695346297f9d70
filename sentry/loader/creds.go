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
// capabilities during execve()". File capabilities are a known gap.
func execCreds(t *kernel.Task, d *vfs.Description) (c *auth.Credentials, secure bool) {
	old := t.Creds()
	c = old.Copy()
	st, err := d.Stat(t)
	setuid := err == nil && !old.NoNewPrivs && d.Path().Mount().Flags()&unix.MS_NOSUID == 0
	if setuid && st.Mode&unix.S_ISUID != 0 && c.UserNS.MapsUID(auth.KUID(st.Uid)) {
		c.EUID = auth.KUID(st.Uid)
	}
	if setuid && st.Mode&(unix.S_ISGID|unix.S_IXGRP) == unix.S_ISGID|unix.S_IXGRP && c.UserNS.MapsGID(auth.KGID(st.Gid)) {
		c.EGID = auth.KGID(st.Gid)
	}
	changed := c.EUID != old.EUID || c.EGID != old.EGID
	c.SUID, c.FSUID, c.SGID, c.FSGID = c.EUID, c.EUID, c.EGID, c.EGID
	root, _ := c.UserNS.KUID(0)
	var filePermitted, fileInheritable auth.CapSet
	fileEffective := false
	if c.SecureBits&secbitNoRoot == 0 && (c.EUID == root || c.RUID == root) {
		filePermitted, fileInheritable = auth.AllCaps, auth.AllCaps
		fileEffective = c.EUID == root
	}
	if changed {
		c.Ambient = 0
	}
	c.Permitted = old.Inheritable&fileInheritable | filePermitted&old.Bounding | c.Ambient
	c.Effective = c.Ambient
	if fileEffective {
		c.Effective = c.Permitted
	}
	c.KeepCaps = false
	secure = changed || c.RUID != c.EUID || c.RGID != c.EGID
	return c, secure
}
