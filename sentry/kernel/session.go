package kernel

// Session is a session of process groups (setsid(2)). Its fields are guarded
// by Kernel.tree.
type Session struct {
	ids    ids
	leader *ThreadGroup
	groups map[*ProcessGroup]bool

	tty        TTY // controlling terminal, nil if none
	foreground *ProcessGroup
}

// TTY is a terminal as sessions see it.
type TTY interface {
	// HangUp is called when the session leader exits.
	HangUp()
}

// ProcessGroup is a process group (setpgid(2)). Its fields are guarded by
// Kernel.tree.
type ProcessGroup struct {
	ids     ids
	session *Session
	members map[*ThreadGroup]bool
}

// Session returns the session of pg.
func (pg *ProcessGroup) Session() *Session { return pg.session }

// newSession makes tg the leader of a new session and group named after it.
// Kernel.tree is held.
func (k *Kernel) newSession(tg *ThreadGroup) *Session {
	s := &Session{ids: tg.Leader().ids, leader: tg, groups: map[*ProcessGroup]bool{}}
	for _, e := range s.ids {
		e.ns.mu.Lock()
		e.ns.sess[e.id] = s
		e.ns.mu.Unlock()
	}
	k.newGroup(tg, s)
	return s
}

// newGroup makes tg the leader of a new process group in s.
func (k *Kernel) newGroup(tg *ThreadGroup, s *Session) *ProcessGroup {
	pg := &ProcessGroup{ids: tg.Leader().ids, session: s, members: map[*ThreadGroup]bool{}}
	s.groups[pg] = true
	for _, e := range pg.ids {
		e.ns.mu.Lock()
		e.ns.groups[e.id] = pg
		e.ns.mu.Unlock()
	}
	k.joinGroup(tg, pg)
	return pg
}

// joinGroup moves tg into pg; an empty group or session left behind is gone.
func (k *Kernel) joinGroup(tg *ThreadGroup, pg *ProcessGroup) {
	k.leaveGroup(tg)
	tg.group = pg
	if pg != nil {
		pg.members[tg] = true
	}
}

func (k *Kernel) leaveGroup(tg *ThreadGroup) {
	old := tg.group
	if old == nil {
		return
	}
	tg.group = nil
	delete(old.members, tg)
	if len(old.members) > 0 {
		return
	}
	for _, e := range old.ids {
		e.ns.mu.Lock()
		delete(e.ns.groups, e.id)
		e.ns.mu.Unlock()
	}
	s := old.session
	delete(s.groups, old)
	if s.foreground == old {
		s.foreground = nil
	}
	if len(s.groups) == 0 {
		for _, e := range s.ids {
			e.ns.mu.Lock()
			delete(e.ns.sess, e.id)
			e.ns.mu.Unlock()
		}
	}
}

// SetSID is setsid(2); it returns false if tg leads a process group already.
func (k *Kernel) SetSID(tg *ThreadGroup) bool {
	k.tree.Lock()
	defer k.tree.Unlock()
	for _, e := range tg.Leader().ids {
		e.ns.mu.RLock()
		taken := e.ns.groups[e.id] != nil
		e.ns.mu.RUnlock()
		if taken {
			return false
		}
	}
	k.newSession(tg)
	return true
}

// ProcessGroup returns the process group of tg, nil once it is reaped.
func (tg *ThreadGroup) ProcessGroup() *ProcessGroup {
	tg.k.tree.RLock()
	defer tg.k.tree.RUnlock()
	return tg.group
}

// Session returns the session of tg, nil once it is reaped.
func (tg *ThreadGroup) Session() *Session {
	tg.k.tree.RLock()
	defer tg.k.tree.RUnlock()
	if tg.group == nil {
		return nil
	}
	return tg.group.session
}

// IsSessionLeader reports whether tg leads its session.
func (tg *ThreadGroup) IsSessionLeader() bool {
	s := tg.Session()
	return s != nil && s.leader == tg
}

// orphaned reports whether no member of pg has a parent in another group of the
// session (POSIX orphaned process group). except is left out. Kernel.tree is held.
func (pg *ProcessGroup) orphaned(except *ThreadGroup) bool {
	for tg := range pg.members {
		if tg == except || tg.zombie {
			continue
		}
		if p := tg.Parent(); p != nil && !p.zombie && p.group != nil && p.group != pg && p.group.session == pg.session {
			return false
		}
	}
	return true
}

// Orphaned reports whether pg is an orphaned process group.
func (k *Kernel) Orphaned(pg *ProcessGroup) bool {
	k.tree.RLock()
	defer k.tree.RUnlock()
	return pg.orphaned(nil)
}

// SignalGroup sends info to every process of pg.
func (k *Kernel) SignalGroup(pg *ProcessGroup, info *SignalInfo) {
	k.tree.RLock()
	defer k.tree.RUnlock()
	for tg := range pg.members {
		c := *info
		tg.send(&c)
	}
}

// SetTTY makes tty the controlling terminal of s with the leader's group in the
// foreground; nil takes it away. It returns false if s has another one.
func (k *Kernel) SetTTY(s *Session, tty TTY) bool {
	k.tree.Lock()
	defer k.tree.Unlock()
	if tty != nil && s.tty != nil && s.tty != tty {
		return false
	}
	s.tty, s.foreground = tty, nil
	if tty != nil && s.leader != nil {
		s.foreground = s.leader.group
	}
	return true
}

// TTYOf returns the controlling terminal of s, nil if none.
func (k *Kernel) TTYOf(s *Session) TTY {
	k.tree.RLock()
	defer k.tree.RUnlock()
	return s.tty
}

// Foreground returns the foreground process group of s, nil if none.
func (k *Kernel) Foreground(s *Session) *ProcessGroup {
	k.tree.RLock()
	defer k.tree.RUnlock()
	return s.foreground
}

// SetForeground puts pg, a group of s, into the foreground; false if it is not
// of s.
func (k *Kernel) SetForeground(s *Session, pg *ProcessGroup) bool {
	k.tree.Lock()
	defer k.tree.Unlock()
	if pg.session != s {
		return false
	}
	s.foreground = pg
	return true
}

// SessionLeader returns the leader of s, nil once it has exited.
func (k *Kernel) SessionLeader(s *Session) *ThreadGroup {
	k.tree.RLock()
	defer k.tree.RUnlock()
	return s.leader
}
