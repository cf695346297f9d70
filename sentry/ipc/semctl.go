package ipc

import "golang.org/x/sys/unix"

// SemStat is a set as semctl(2) shows it.
type SemStat struct {
	Perm               Perm
	OpTime, ChangeTime int64
	Count              int
}

func (s *Set) stat() SemStat {
	return SemStat{Perm: s.perm(), OpTime: s.opTime, ChangeTime: s.changeTime, Count: len(s.sems)}
}

// SemStat returns a set's state, found by index if byIndex; anybody may ask if any.
func (n *Namespace) SemStat(c Caller, id int32, byIndex, any bool) (SemStat, error) {
	return stat(n, &n.sem, c, id, byIndex, any, (*Set).stat)
}

// SemSet is semctl(2) IPC_SET.
func (n *Namespace) SemSet(c Caller, id int32, o Ownership) error {
	return change(n, &n.sem, c, id, func(s *Set) error { s.set(c, o); return nil })
}

// SemRemove is semctl(2) IPC_RMID.
func (n *Namespace) SemRemove(c Caller, id int32) error {
	return removeOwned(n, &n.sem, c, id, n.removeSet)
}

// withSet calls f with a set on which c has the wanted rights, locked.
func (n *Namespace) withSet(c Caller, id int32, rights uint32, f func(s *Set) error) error {
	s, err := n.sem.lock(id)
	if err != nil {
		return err
	}
	defer s.Unlock()
	if err := n.allows(c, &s.header, rights); err != nil {
		return err
	}
	return f(s)
}

// SemInfo is what can be asked about one semaphore.
type SemInfo struct {
	Value         int32
	Last          any // the process that changed it last
	Rising, Zeros int // tasks that wait for it to grow, and to become zero
}

// SemQuery returns the state of one semaphore (GETVAL, GETPID, GETNCNT, GETZCNT).
func (n *Namespace) SemQuery(c Caller, id, num int32) (info SemInfo, err error) {
	err = n.withSet(c, id, ReadBits, func(s *Set) error {
		if num < 0 || int(num) >= len(s.sems) {
			return unix.EINVAL
		}
		info.Value, info.Last = s.sems[num].val, s.sems[num].last
		for _, w := range s.queue {
			switch o := w.ops[w.blocked]; {
			case int32(o.Num) != num:
			case o.Op == 0:
				info.Zeros++
			default:
				info.Rising++
			}
		}
		return nil
	})
	return info, err
}

// SemValues returns the value of every semaphore (GETALL).
func (n *Namespace) SemValues(c Caller, id int32) (vals []uint16, err error) {
	err = n.withSet(c, id, ReadBits, func(s *Set) error {
		vals = make([]uint16, len(s.sems))
		for i := range s.sems {
			vals[i] = uint16(s.sems[i].val)
		}
		return nil
	})
	return vals, err
}

// SemCount returns the number of semaphores of a set that c may change (SETALL).
func (n *Namespace) SemCount(c Caller, id int32) (count int, err error) {
	err = n.withSet(c, id, WriteBits, func(s *Set) error { count = len(s.sems); return nil })
	return count, err
}

// SemSetValue is SETVAL.
func (n *Namespace) SemSetValue(c Caller, id, num, val int32) error {
	if val < 0 || val > SemMax {
		return unix.ERANGE
	}
	return n.withSet(c, id, WriteBits, func(s *Set) error {
		if num < 0 || int(num) >= len(s.sems) {
			return unix.EINVAL
		}
		s.put(c, int(num), val)
		s.changed(c)
		return nil
	})
}

// SemSetValues is SETALL.
func (n *Namespace) SemSetValues(c Caller, id int32, vals []uint16) error {
	for _, v := range vals {
		if v > SemMax {
			return unix.ERANGE
		}
	}
	return n.withSet(c, id, WriteBits, func(s *Set) error {
		if len(vals) != len(s.sems) {
			return unix.EIDRM // another set by now
		}
		for i, v := range vals {
			s.put(c, i, int32(v))
		}
		s.changed(c)
		return nil
	})
}

// put gives a semaphore a value, which takes back what SEM_UNDO promised of it.
func (s *Set) put(c Caller, num int, val int32) {
	s.sems[num] = semaphore{val: val, last: c.ProcessName()}
	for _, u := range s.undos {
		u.adj[num] = 0
	}
}

func (s *Set) changed(c Caller) {
	s.changeTime = seconds(c)
	s.update()
}

// SemTotals returns the highest index in use, the number of sets and that of semaphores (SEM_INFO).
func (n *Namespace) SemTotals() (top, used int, sems int64) {
	top, used = n.sem.top()
	return top, used, n.sems.Load()
}

// SemList returns the state of every set (/proc/sysvipc/sem).
func (n *Namespace) SemList() []SemStat { return list(&n.sem, (*Set).stat) }
