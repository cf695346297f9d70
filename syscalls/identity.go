package syscalls

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/auth"
	"ringfort/sentry/usermem"
)

var identityCalls = []Call{
	{Nr: unix.SYS_GETUID, Name: "getuid", Func: Getuid},
	{Nr: unix.SYS_GETEUID, Name: "geteuid", Func: Geteuid},
	{Nr: unix.SYS_GETGID, Name: "getgid", Func: Getgid},
	{Nr: unix.SYS_GETEGID, Name: "getegid", Func: Getegid},
	{Nr: unix.SYS_GETRESUID, Name: "getresuid", Func: Getresuid, Args: []Arg{Ptr, Ptr, Ptr}},
	{Nr: unix.SYS_GETRESGID, Name: "getresgid", Func: Getresgid, Args: []Arg{Ptr, Ptr, Ptr}},
	{Nr: unix.SYS_SETUID, Name: "setuid", Func: Setuid, Args: []Arg{Int}},
	{Nr: unix.SYS_SETGID, Name: "setgid", Func: Setgid, Args: []Arg{Int}},
	{Nr: unix.SYS_SETREUID, Name: "setreuid", Func: Setreuid, Args: []Arg{Int, Int}},
	{Nr: unix.SYS_SETREGID, Name: "setregid", Func: Setregid, Args: []Arg{Int, Int}},
	{Nr: unix.SYS_SETRESUID, Name: "setresuid", Func: Setresuid, Args: []Arg{Int, Int, Int}},
	{Nr: unix.SYS_SETRESGID, Name: "setresgid", Func: Setresgid, Args: []Arg{Int, Int, Int}},
	{Nr: unix.SYS_SETFSUID, Name: "setfsuid", Func: Setfsuid, Args: []Arg{Int}},
	{Nr: unix.SYS_SETFSGID, Name: "setfsgid", Func: Setfsgid, Args: []Arg{Int}},
	{Nr: unix.SYS_GETGROUPS, Name: "getgroups", Func: Getgroups, Args: []Arg{Int, Ptr}},
	{Nr: unix.SYS_SETGROUPS, Name: "setgroups", Func: Setgroups, Args: []Arg{Int, Ptr}},
	{Nr: unix.SYS_CAPGET, Name: "capget", Func: Capget, Args: []Arg{Ptr, Ptr}},
	{Nr: unix.SYS_CAPSET, Name: "capset", Func: Capset, Args: []Arg{Ptr, Ptr}},
}

// Getuid is getuid(2).
func Getuid(t *task, _ arguments) (uintptr, error) {
	c := t.Creds()
	return uintptr(c.UserNS.UID(c.RUID)), nil
}

// Geteuid is geteuid(2).
func Geteuid(t *task, _ arguments) (uintptr, error) {
	c := t.Creds()
	return uintptr(c.UserNS.UID(c.EUID)), nil
}

// Getgid is getgid(2).
func Getgid(t *task, _ arguments) (uintptr, error) {
	c := t.Creds()
	return uintptr(c.UserNS.GID(c.RGID)), nil
}

// Getegid is getegid(2).
func Getegid(t *task, _ arguments) (uintptr, error) {
	c := t.Creds()
	return uintptr(c.UserNS.GID(c.EGID)), nil
}

// Getresuid is getresuid(2).
func Getresuid(t *task, a arguments) (uintptr, error) {
	c := t.Creds()
	return 0, copyOutIDs(t, a, c.UserNS.UID(c.RUID), c.UserNS.UID(c.EUID), c.UserNS.UID(c.SUID))
}

// Getresgid is getresgid(2).
func Getresgid(t *task, a arguments) (uintptr, error) {
	c := t.Creds()
	return 0, copyOutIDs(t, a, c.UserNS.GID(c.RGID), c.UserNS.GID(c.EGID), c.UserNS.GID(c.SGID))
}

func copyOutIDs(t *task, a arguments, ids ...uint32) error {
	for i := range ids {
		if err := usermem.CopyOutVal(t.MM(), addr(a[i].Pointer()), &ids[i]); err != nil {
			return err
		}
	}
	return nil
}

// setUIDs publishes new user IDs and what they mean for capabilities
// (capabilities(7), "Effect of user ID changes on capabilities").
func setUIDs(t *task, r, e, s, fs auth.KUID) {
	old := t.Creds()
	c := old.Copy()
	c.RUID, c.EUID, c.SUID, c.FSUID = r, e, s, fs
	root, hasRoot := c.UserNS.KUID(0)
	const noSetuidFixup = 1 << 2
	if c.SecureBits&noSetuidFixup == 0 && hasRoot {
		had := old.RUID == root || old.EUID == root || old.SUID == root
		has := r == root || e == root || s == root
		if had && !has {
			if !c.KeepCaps {
				c.Permitted, c.Effective = 0, 0
			}
			c.Ambient = 0
		}
		if old.EUID == root && e != root {
			c.Effective = 0
		}
		if old.EUID != root && e == root {
			c.Effective = c.Permitted
		}
		fixFSCaps(c, old.FSUID == root, fs == root)
	}
	t.SetCreds(c)
}

// fsCaps are the capabilities that follow the file system user ID.
var fsCaps = auth.CapOf(unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH, unix.CAP_FOWNER, unix.CAP_FSETID,
	unix.CAP_LINUX_IMMUTABLE, unix.CAP_MKNOD, unix.CAP_MAC_OVERRIDE)

func fixFSCaps(c *auth.Credentials, was, is bool) {
	if was && !is {
		c.Effective &^= fsCaps
	}
	if !was && is {
		c.Effective |= c.Permitted & fsCaps
	}
}

// Setuid is setuid(2).
func Setuid(t *task, a arguments) (uintptr, error) {
	c := t.Creds()
	id, ok := c.UserNS.KUID(a[0].Uint())
	if !ok {
		return 0, unix.EINVAL
	}
	switch {
	case c.HasCap(unix.CAP_SETUID):
		setUIDs(t, id, id, id, id)
	case id == c.RUID || id == c.SUID:
		setUIDs(t, c.RUID, id, c.SUID, id)
	default:
		return 0, unix.EPERM
	}
	return 0, nil
}

// Setresuid is setresuid(2).
func Setresuid(t *task, a arguments) (uintptr, error) {
	c := t.Creds()
	now := [3]auth.KUID{c.RUID, c.EUID, c.SUID}
	new := now
	for i := range new {
		if a[i].Uint() == auth.NoID {
			continue
		}
		id, ok := c.UserNS.KUID(a[i].Uint())
		if !ok {
			return 0, unix.EINVAL
		}
		if id != now[0] && id != now[1] && id != now[2] && !c.HasCap(unix.CAP_SETUID) {
			return 0, unix.EPERM
		}
		new[i] = id
	}
	setUIDs(t, new[0], new[1], new[2], new[1])
	return 0, nil
}

// Setreuid is setreuid(2).
func Setreuid(t *task, a arguments) (uintptr, error) {
	c := t.Creds()
	r, e, s := c.RUID, c.EUID, c.SUID
	priv := c.HasCap(unix.CAP_SETUID)
	if a[0].Uint() != auth.NoID {
		id, ok := c.UserNS.KUID(a[0].Uint())
		if !ok {
			return 0, unix.EINVAL
		}
		if id != c.RUID && id != c.EUID && !priv {
			return 0, unix.EPERM
		}
		r = id
	}
	if a[1].Uint() != auth.NoID {
		id, ok := c.UserNS.KUID(a[1].Uint())
		if !ok {
			return 0, unix.EINVAL
		}
		if id != c.RUID && id != c.EUID && id != c.SUID && !priv {
			return 0, unix.EPERM
		}
		e = id
	}
	if a[0].Uint() != auth.NoID || a[1].Uint() != auth.NoID && e != c.RUID {
		s = e
	}
	setUIDs(t, r, e, s, e)
	return 0, nil
}

// Setfsuid is setfsuid(2): it returns the previous ID and never fails.
func Setfsuid(t *task, a arguments) (uintptr, error) {
	old := t.Creds()
	prev := uintptr(old.UserNS.UID(old.FSUID))
	id, ok := old.UserNS.KUID(a[0].Uint())
	if !ok || id != old.RUID && id != old.EUID && id != old.SUID && id != old.FSUID && !old.HasCap(unix.CAP_SETUID) {
		return prev, nil
	}
	c := old.Copy()
	c.FSUID = id
	if root, ok := c.UserNS.KUID(0); ok {
		fixFSCaps(c, old.FSUID == root, id == root)
	}
	t.SetCreds(c)
	return prev, nil
}

func setGIDs(t *task, r, e, s, fs auth.KGID) {
	c := t.Creds().Copy()
	c.RGID, c.EGID, c.SGID, c.FSGID = r, e, s, fs
	t.SetCreds(c)
}

// Setgid is setgid(2).
func Setgid(t *task, a arguments) (uintptr, error) {
	c := t.Creds()
	id, ok := c.UserNS.KGID(a[0].Uint())
	if !ok {
		return 0, unix.EINVAL
	}
	switch {
	case c.HasCap(unix.CAP_SETGID):
		setGIDs(t, id, id, id, id)
	case id == c.RGID || id == c.SGID:
		setGIDs(t, c.RGID, id, c.SGID, id)
	default:
		return 0, unix.EPERM
	}
	return 0, nil
}

// Setresgid is setresgid(2).
func Setresgid(t *task, a arguments) (uintptr, error) {
	c := t.Creds()
	now := [3]auth.KGID{c.RGID, c.EGID, c.SGID}
	new := now
	for i := range new {
		if a[i].Uint() == auth.NoID {
			continue
		}
		id, ok := c.UserNS.KGID(a[i].Uint())
		if !ok {
			return 0, unix.EINVAL
		}
		if id != now[0] && id != now[1] && id != now[2] && !c.HasCap(unix.CAP_SETGID) {
			return 0, unix.EPERM
		}
		new[i] = id
	}
	setGIDs(t, new[0], new[1], new[2], new[1])
	return 0, nil
}

// Setregid is setregid(2).
func Setregid(t *task, a arguments) (uintptr, error) {
	c := t.Creds()
	r, e, s := c.RGID, c.EGID, c.SGID
	priv := c.HasCap(unix.CAP_SETGID)
	if a[0].Uint() != auth.NoID {
		id, ok := c.UserNS.KGID(a[0].Uint())
		if !ok {
			return 0, unix.EINVAL
		}
		if id != c.RGID && id != c.EGID && !priv {
			return 0, unix.EPERM
		}
		r = id
	}
	if a[1].Uint() != auth.NoID {
		id, ok := c.UserNS.KGID(a[1].Uint())
		if !ok {
			return 0, unix.EINVAL
		}
		if id != c.RGID && id != c.EGID && id != c.SGID && !priv {
			return 0, unix.EPERM
		}
		e = id
	}
	if a[0].Uint() != auth.NoID || a[1].Uint() != auth.NoID && e != c.RGID {
		s = e
	}
	setGIDs(t, r, e, s, e)
	return 0, nil
}

// Setfsgid is setfsgid(2).
func Setfsgid(t *task, a arguments) (uintptr, error) {
	old := t.Creds()
	prev := uintptr(old.UserNS.GID(old.FSGID))
	id, ok := old.UserNS.KGID(a[0].Uint())
	if !ok || id != old.RGID && id != old.EGID && id != old.SGID && id != old.FSGID && !old.HasCap(unix.CAP_SETGID) {
		return prev, nil
	}
	c := old.Copy()
	c.FSGID = id
	t.SetCreds(c)
	return prev, nil
}

// maxGroups is NGROUPS_MAX.
const maxGroups = 65536

// Getgroups is getgroups(2).
func Getgroups(t *task, a arguments) (uintptr, error) {
	c := t.Creds()
	n := a[0].Int()
	if n < 0 {
		return 0, unix.EINVAL
	}
	if n == 0 {
		return uintptr(len(c.Groups)), nil
	}
	if int(n) < len(c.Groups) {
		return 0, unix.EINVAL
	}
	ids := make([]uint32, len(c.Groups))
	for i, g := range c.Groups {
		ids[i] = c.UserNS.GID(g)
	}
	return uintptr(len(ids)), usermem.CopyOutSlice(t.MM(), addr(a[1].Pointer()), ids)
}

// Setgroups is setgroups(2).
func Setgroups(t *task, a arguments) (uintptr, error) {
	c := t.Creds()
	if !c.HasCap(unix.CAP_SETGID) || !c.UserNS.Setgroups() {
		return 0, unix.EPERM
	}
	n := a[0].Uint()
	if n > maxGroups {
		return 0, unix.EINVAL
	}
	ids := make([]uint32, n)
	if err := usermem.CopyInSlice(t.MM(), addr(a[1].Pointer()), ids); err != nil {
		return 0, err
	}
	d := c.Copy()
	d.Groups = d.Groups[:0]
	for _, id := range ids {
		g, ok := c.UserNS.KGID(id)
		if !ok {
			return 0, unix.EINVAL
		}
		d.Groups = append(d.Groups, g)
	}
	t.SetCreds(d)
	return 0, nil
}

// capHeader and capData are the structures of capget(2).
type capHeader struct {
	Version uint32
	PID     int32
}

type capData struct{ Effective, Permitted, Inheritable uint32 }

// capWords returns how many capData a version has; 0 for an unknown one.
func capWords(version uint32) int {
	switch version {
	case unix.LINUX_CAPABILITY_VERSION_1:
		return 1
	case unix.LINUX_CAPABILITY_VERSION_2, unix.LINUX_CAPABILITY_VERSION_3:
		return 2
	}
	return 0
}

// copyInCapHeader reads the header; for an unknown version it writes the
// preferred one and returns 0 words.
func copyInCapHeader(t *task, p addr) (h capHeader, words int, err error) {
	h, err = usermem.CopyInVal[capHeader](t.MM(), p)
	if err != nil {
		return h, 0, err
	}
	words = capWords(h.Version)
	if words == 0 {
		v := uint32(unix.LINUX_CAPABILITY_VERSION_3)
		err = usermem.CopyOutVal(t.MM(), p, &v)
	}
	return h, words, err
}

// Capget is capget(2).
func Capget(t *task, a arguments) (uintptr, error) {
	h, words, err := copyInCapHeader(t, addr(a[0].Pointer()))
	if err != nil {
		return 0, err
	}
	if words == 0 {
		if a[1] == 0 {
			return 0, nil
		}
		return 0, unix.EINVAL
	}
	if h.PID < 0 {
		return 0, unix.EINVAL
	}
	o := t
	if h.PID != 0 {
		if o = t.PIDNS().TaskWithID(h.PID); o == nil {
			return 0, unix.ESRCH
		}
	}
	c := o.Creds()
	data := make([]capData, words)
	for i := range data {
		s := uint(32 * i)
		data[i] = capData{uint32(c.Effective >> s), uint32(c.Permitted >> s), uint32(c.Inheritable >> s)}
	}
	if a[1] == 0 {
		return 0, nil
	}
	return 0, usermem.CopyOutSlice(t.MM(), addr(a[1].Pointer()), data)
}

// Capset is capset(2).
func Capset(t *task, a arguments) (uintptr, error) {
	h, words, err := copyInCapHeader(t, addr(a[0].Pointer()))
	if err != nil {
		return 0, err
	}
	if words == 0 {
		return 0, unix.EINVAL
	}
	if h.PID != 0 && h.PID != t.TID() {
		return 0, unix.EPERM
	}
	data := make([]capData, words)
	if err := usermem.CopyInSlice(t.MM(), addr(a[1].Pointer()), data); err != nil {
		return 0, err
	}
	var e, p, i auth.CapSet
	for n, d := range data {
		s := uint(32 * n)
		e |= auth.CapSet(d.Effective) << s
		p |= auth.CapSet(d.Permitted) << s
		i |= auth.CapSet(d.Inheritable) << s
	}
	e, p, i = e&auth.AllCaps, p&auth.AllCaps, i&auth.AllCaps
	old := t.Creds()
	if p&^old.Permitted != 0 || e&^p != 0 || i&^(old.Inheritable|old.Bounding) != 0 ||
		!old.HasCap(unix.CAP_SETPCAP) && i&^(old.Inheritable|old.Permitted) != 0 {
		return 0, unix.EPERM
	}
	c := old.Copy()
	c.Effective, c.Permitted, c.Inheritable = e, p, i
	c.Ambient &= p & i
	t.SetCreds(c)
	return 0, nil
}
