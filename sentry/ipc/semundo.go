package ipc

import "sync"

// UndoList is what SEM_UNDO has promised for a process, or several tasks that
// share it (CLONE_SYSVSEM).
type UndoList struct {
	mu   sync.Mutex
	refs int
	undo map[*Set]*undo
}

// undo are the adjustments of one set. adj is guarded by the set's lock.
type undo struct {
	list *UndoList
	adj  []int16
}

// undoBytes is what an undo costs the budget beside its adjustments.
const undoBytes = 128

// NewUndoList returns an empty list with one user.
func NewUndoList() *UndoList { return &UndoList{refs: 1, undo: map[*Set]*undo{}} }

// IncRef adds a user.
func (l *UndoList) IncRef() {
	l.mu.Lock()
	l.refs++
	l.mu.Unlock()
}

// undoOf returns the adjustments of s in l. s is locked.
func (s *Set) undoOf(l *UndoList) (*undo, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if u := l.undo[s]; u != nil {
		return u, nil
	}
	if err := s.n.budget.Charge(undoBytes + 2*int64(len(s.sems))); err != nil {
		return nil, err
	}
	u := &undo{list: l, adj: make([]int16, len(s.sems))}
	l.undo[s] = u
	s.undos = append(s.undos, u)
	return u, nil
}

// drop forgets s, which is locked.
func (l *UndoList) drop(s *Set) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if u := l.undo[s]; u != nil {
		delete(l.undo, s)
		s.n.budget.Uncharge(undoBytes + 2*int64(len(u.adj)))
	}
}

// DecRef removes a user, c. With the last one all adjustments are made, as when
// a process ends (semop(2), "the semaphore adjustment").
func (l *UndoList) DecRef(c Caller) {
	l.mu.Lock()
	l.refs--
	var sets []*Set
	if l.refs == 0 {
		for s := range l.undo {
			sets = append(sets, s)
		}
	}
	l.mu.Unlock()
	for _, s := range sets {
		s.Lock()
		s.adjust(l, c)
		s.Unlock()
	}
}

// adjust makes the adjustments of l to s, which is locked.
func (s *Set) adjust(l *UndoList, c Caller) {
	for i, u := range s.undos {
		if u.list != l {
			continue
		}
		s.undos = append(s.undos[:i], s.undos[i+1:]...)
		for num, adj := range u.adj {
			if adj == 0 {
				continue
			}
			sem := &s.sems[num]
			sem.val = min(max(sem.val+int32(adj), 0), SemMax)
			sem.last = c.ProcessName()
		}
		l.drop(s)
		s.opTime = seconds(c)
		s.update()
		return
	}
}
