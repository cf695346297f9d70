package kernel

import "golang.org/x/sys/unix"

// SetPGID moves tg, which is t's process or a child of it, into the process
// group called id in t's PID namespace (setpgid(2)).
func (k *Kernel) SetPGID(t *Task, tg *ThreadGroup, id int32) error {
	k.tree.Lock()
	defer k.tree.Unlock()
	ns := t.ids[0].ns
	if tg.group == nil || t.tg.group == nil {
		return unix.ESRCH
	}
	s := tg.group.session
	if s != t.tg.group.session || s.leader == tg {
		return unix.EPERM
	}
	ns.mu.RLock()
	pg := ns.groups[id]
	ns.mu.RUnlock()
	if pg == nil {
		if id != tg.Leader().idIn(ns) {
			return unix.EPERM
		}
		k.newGroup(tg, s)
		return nil
	}
	if pg.session != s {
		return unix.EPERM
	}
	if pg != tg.group {
		k.joinGroup(tg, pg)
	}
	return nil
}

// MayTrace reports whether t may look into o (ptrace(2), "Ptrace access mode checking").
func (t *Task) MayTrace(o *Task) bool {
	if t.tg == o.tg {
		return true
	}
	c, d := t.Creds(), o.Creds()
	privileged := c.HasCapIn(unix.CAP_SYS_PTRACE, d.UserNS)
	same := c.RUID == d.EUID && c.RUID == d.SUID && c.RUID == d.RUID && c.RGID == d.EGID && c.RGID == d.SGID && c.RGID == d.RGID
	if !privileged && !same {
		return false
	}
	if m := o.MM(); m != nil && m.GetInfo().Dumpable != 1 && !privileged {
		return false
	}
	return privileged || d.Permitted&^c.Permitted == 0
}

// NewInode returns a fresh inode number for a kernel-made object.
func (k *Kernel) NewInode() uint64 { return k.inodes.Add(1) }
