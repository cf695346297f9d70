package ipc

import (
	"sync"

	"golang.org/x/sys/unix"
)

// SemMax is SEMVMX and SEMAEM: the highest value of a semaphore, and of an adjustment.
const SemMax = 32767

// Undo is SEM_UNDO.
const Undo = 0x1000

// semBytes is what a semaphore costs the budget.
const semBytes = 32

// Op is an operation of semop(2) (struct sembuf).
type Op struct {
	Num   uint16
	Op    int16
	Flags int16
}

// Set is a semaphore set.
type Set struct {
	sync.Mutex
	header
	n      *Namespace
	sems   []semaphore
	opTime int64
	queue  []*sleeper
	undos  []*undo
}

type semaphore struct {
	val  int32
	last any // who changed it
}

// sleeper is a semop(2) that waits. Whoever changes the set performs it.
type sleeper struct {
	c       Caller
	ops     []Op
	undo    *undo
	process any
	blocked int // index of the operation that cannot be done
	done    bool
	err     error
}

// SemGet is semget(2).
func (n *Namespace) SemGet(c Caller, key int32, count int32, flags uint32) (int32, error) {
	l := n.Limits()
	if count < 0 || count > l.SemMsl {
		return 0, unix.EINVAL
	}
	fits := func(s *Set) error {
		if int(count) > len(s.sems) {
			return unix.EINVAL
		}
		return nil
	}
	return get(n, &n.sem, c, key, flags, int(l.SemMni), fits, func(h header) (*Set, error) {
		if count == 0 {
			return nil, unix.EINVAL
		}
		if n.sems.Add(int64(count)) > int64(l.SemMns) {
			n.sems.Add(-int64(count))
			return nil, unix.ENOSPC
		}
		if err := n.budget.Charge(int64(count) * semBytes); err != nil {
			n.sems.Add(-int64(count))
			return nil, err
		}
		return &Set{header: h, n: n, sems: make([]semaphore, count)}, nil
	})
}

func (s *Set) discard() {
	s.n.sems.Add(-int64(len(s.sems)))
	s.n.budget.Uncharge(int64(len(s.sems)) * semBytes)
}

// removeSet is IPC_RMID: sleepers get EIDRM.
func (n *Namespace) removeSet(s *Set) {
	n.sem.mu.Lock()
	s.Lock()
	defer s.Unlock()
	gone := !s.removed
	n.sem.remove(s)
	n.sem.mu.Unlock()
	if !gone {
		return
	}
	for _, u := range s.undos {
		u.list.drop(s)
	}
	s.undos = nil
	for _, w := range s.queue {
		w.finish(unix.EIDRM)
	}
	s.queue = nil
	s.discard()
}

// finish ends the wait. The set's lock is held.
func (w *sleeper) finish(err error) {
	w.done, w.err = true, err
	w.c.Notify(nil, 0)
}

// SemOp is semtimedop(2): all of ops, or none of them, before the deadline. list
// is the caller's undo list; it may be nil if no operation has SEM_UNDO.
func (n *Namespace) SemOp(c Caller, id int32, ops []Op, list *UndoList, deadline int64) error {
	top, alter, wantUndo := uint16(0), false, false
	for _, o := range ops {
		top = max(top, o.Num)
		alter = alter || o.Op != 0
		wantUndo = wantUndo || o.Flags&Undo != 0
	}
	s, err := n.sem.lock(id)
	if err != nil {
		return err
	}
	if int(top) >= len(s.sems) {
		s.Unlock()
		return unix.EFBIG
	}
	rights := uint32(ReadBits)
	if alter {
		rights = WriteBits
	}
	if err := n.allows(c, &s.header, rights); err != nil {
		s.Unlock()
		return err
	}
	w := &sleeper{c: c, ops: ops, process: c.ProcessName()}
	if wantUndo {
		if w.undo, err = s.undoOf(list); err != nil {
			s.Unlock()
			return err
		}
	}
	done, err := s.try(w)
	if !done && ops[w.blocked].Flags&NoWait != 0 {
		done, err = true, unix.EAGAIN
	}
	if done {
		if err == nil {
			s.opTime = seconds(c)
			if alter {
				s.update()
			}
		}
		s.Unlock()
		return err
	}
	s.queue = append(s.queue, w)
	s.Unlock()
	return s.sleep(w, deadline)
}

// sleep waits until somebody has finished w.
func (s *Set) sleep(w *sleeper, deadline int64) error {
	for {
		err := w.c.Block(deadline)
		s.Lock()
		if w.done {
			s.Unlock()
			return w.err
		}
		if err != nil {
			s.dequeue(w)
			s.Unlock()
			if err == unix.ETIMEDOUT {
				return unix.EAGAIN
			}
			return unix.EINTR // never restarted (signal(7))
		}
		s.Unlock()
	}
}

func (s *Set) dequeue(w *sleeper) {
	for i, o := range s.queue {
		if o == w {
			s.queue = append(s.queue[:i], s.queue[i+1:]...)
			return
		}
	}
}

// try does all operations of w or none; done is false if one of them has to wait.
func (s *Set) try(w *sleeper) (done bool, err error) {
	i := 0
	for ; i < len(w.ops); i++ {
		o := w.ops[i]
		sem := &s.sems[o.Num]
		val := sem.val + int32(o.Op)
		if o.Op == 0 && sem.val != 0 || val < 0 {
			w.blocked = i
			break
		}
		if val > SemMax {
			err = unix.ERANGE
			break
		}
		if o.Flags&Undo != 0 {
			adj := int32(w.undo.adj[o.Num]) - int32(o.Op)
			if adj < -SemMax-1 || adj > SemMax {
				err = unix.ERANGE
				break
			}
			w.undo.adj[o.Num] = int16(adj)
		}
		sem.val = val
	}
	if i == len(w.ops) {
		for _, o := range w.ops {
			s.sems[o.Num].last = w.process
		}
		return true, nil
	}
	for i--; i >= 0; i-- {
		o := w.ops[i]
		s.sems[o.Num].val -= int32(o.Op)
		if o.Flags&Undo != 0 {
			w.undo.adj[o.Num] += o.Op
		}
	}
	return err != nil, err
}

// update performs sleepers whose operations have become possible, first come
// first served.
func (s *Set) update() {
	for i := 0; i < len(s.queue); {
		w := s.queue[i]
		done, err := s.try(w)
		if !done {
			i++
			continue
		}
		s.queue = append(s.queue[:i], s.queue[i+1:]...)
		altered := false
		if err == nil {
			s.opTime = seconds(w.c)
			for _, o := range w.ops {
				altered = altered || o.Op != 0
			}
		}
		w.finish(err)
		if altered {
			i = 0 // those passed over may be possible now
		}
	}
}
