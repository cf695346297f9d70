package kernel

import (
	"slices"

	"golang.org/x/sys/unix"

	"ringfort/sentry/mm"
	"ringfort/sentry/usermem"
	"ringfort/sentry/wait"
)

// FutexLockPI acquires a PI futex (FUTEX_LOCK_PI; try: FUTEX_TRYLOCK_PI).
// Priorities do not exist here, so inheritance has nothing to do.
func (t *Task) FutexLockPI(addr usermem.Addr, try, private bool, deadline int64) error {
	m := t.MM()
	key, err := m.FutexKey(addr, private)
	if err != nil {
		return err
	}
	tid := uint32(t.TID())
	b := t.k.futexes.bucket(key)
	for {
		b.mu.Lock()
		v, err := m.Load32(addr)
		if err != nil {
			b.mu.Unlock()
			return err
		}
		owner := v & futexTIDMask
		switch {
		case owner == tid:
			b.mu.Unlock()
			return unix.EDEADLK
		case owner == 0:
			was, err := m.CompareAndSwap32(addr, v, v&^futexTIDMask|tid)
			b.mu.Unlock()
			if err != nil || was == v {
				return err
			}
			continue
		case try:
			b.mu.Unlock()
			return unix.EAGAIN
		case t.PIDNS().TaskWithID(int32(owner)) == nil:
			b.mu.Unlock()
			return unix.ESRCH
		}
		if v&futexWaiters == 0 {
			was, err := m.CompareAndSwap32(addr, v, v|futexWaiters)
			if err != nil || was != v {
				b.mu.Unlock()
				if err != nil {
					return err
				}
				continue
			}
		}
		w := t.futexWaiter(b, key, ^uint32(0), true)
		b.waiters = append(b.waiters, w)
		b.mu.Unlock()
		err = t.futexSleep(w, deadline)
		if err == wait.ErrInterrupted {
			return wait.ErrRestartNoIntr
		}
		return err // nil: the unlocker made us the owner
	}
}

// FutexUnlockPI releases a PI futex and hands it to the first waiter.
func (t *Task) FutexUnlockPI(addr usermem.Addr, private bool) error {
	m := t.MM()
	key, err := m.FutexKey(addr, private)
	if err != nil {
		return err
	}
	v, err := m.Load32(addr)
	if err != nil {
		return err
	}
	if v&futexTIDMask != uint32(t.TID()) {
		return unix.EPERM
	}
	return t.handOver(key, addr, 0)
}

// handOver gives a PI futex to its next waiter, or frees it.
func (t *Task) handOver(key mm.Key, addr usermem.Addr, flags uint32) error {
	b := t.k.futexes.bucket(key)
	b.mu.Lock()
	defer b.mu.Unlock()
	var next *futexWaiter
	more := false
	for _, w := range b.waiters {
		if w.key == key && w.pi {
			if next != nil {
				more = true
				break
			}
			next = w
		}
	}
	v := flags
	if next != nil {
		v |= uint32(next.t.TID())
		if more {
			v |= futexWaiters
		}
	}
	if _, err := t.MM().Swap32(addr, v); err != nil {
		return err
	}
	if next != nil {
		b.remove(next)
		next.woken = true
		next.t.Notify(nil, 0)
	}
	return nil
}

// FutexWaitRequeuePI waits while the word at addr is val, to be moved to the PI
// futex at target, of which the caller is the owner when it returns nil
// (futex(2), FUTEX_WAIT_REQUEUE_PI). ETIMEDOUT; EAGAIN if the word differs or a
// signal came after the move; ErrRestartNoIntr.
func (t *Task) FutexWaitRequeuePI(addr, target usermem.Addr, val, mask uint32, private bool, deadline int64) error {
	m := t.MM()
	key, err := m.FutexKey(addr, private)
	if err != nil {
		return err
	}
	to, err := m.FutexKey(target, private)
	if err != nil {
		return err
	}
	if key == to {
		return unix.EINVAL
	}
	b := t.k.futexes.bucket(key)
	b.mu.Lock()
	v, err := m.Load32(addr)
	if err != nil || v != val {
		b.mu.Unlock()
		if err == nil {
			err = unix.EAGAIN
		}
		return err
	}
	w := t.futexWaiter(b, key, mask, false)
	w.target = to
	b.waiters = append(b.waiters, w)
	b.mu.Unlock()
	err = t.futexSleep(w, deadline)
	if err == wait.ErrInterrupted {
		if w.pi {
			return unix.EAGAIN // was moved: the caller looks at its word again
		}
		return wait.ErrRestartNoIntr
	}
	return err
}

// FutexCmpRequeuePI moves the first waiter of a1 and nMove others to the PI
// futex at a2, and makes the first its owner if it is free (futex(2),
// FUTEX_CMP_REQUEUE_PI). It returns how many were woken or moved.
func (t *Task) FutexCmpRequeuePI(a1, a2 usermem.Addr, nMove int, val uint32, private bool) (int, error) {
	m := t.MM()
	k1, err := m.FutexKey(a1, private)
	if err != nil {
		return 0, err
	}
	k2, err := m.FutexKey(a2, private)
	if err != nil {
		return 0, err
	}
	if k1 == k2 {
		return 0, unix.EINVAL
	}
	b1, b2 := t.k.futexes.lockTwo(k1, k2)
	defer unlockTwo(b1, b2)
	v, err := m.Load32(a1)
	if err != nil {
		return 0, err
	}
	if v != val {
		return 0, unix.EAGAIN
	}
	var list []*futexWaiter
	for _, w := range b1.waiters {
		if w.key == k1 && len(list) <= nMove {
			if w.pi || w.target != k2 {
				return 0, unix.EINVAL
			}
			list = append(list, w)
		}
	}
	if len(list) == 0 {
		return 0, nil
	}
	more := len(list) > 1 || slices.ContainsFunc(b2.waiters, func(w *futexWaiter) bool { return w.key == k2 })
	woken, err := t.acquireFor(list[0], a2, more)
	if err != nil {
		return 0, err
	}
	for i, w := range list {
		b1.remove(w)
		if i == 0 && woken {
			w.woken = true
			w.t.Notify(nil, 0)
			continue
		}
		w.key, w.pi = k2, true
		w.in.Store(b2)
		b2.waiters = append(b2.waiters, w)
	}
	return len(list), nil
}

// acquireFor makes w the owner of the PI futex at addr if it is free; else it
// marks the futex as waited for. more says that others wait too. The bucket is locked.
func (t *Task) acquireFor(w *futexWaiter, addr usermem.Addr, more bool) (acquired bool, err error) {
	m := t.MM()
	tid := uint32(w.t.TID())
	for {
		v, err := m.Load32(addr)
		if err != nil {
			return false, err
		}
		owner := v & futexTIDMask
		next := v | futexWaiters
		switch {
		case owner == tid:
			return false, unix.EDEADLK
		case owner == 0:
			next = v&futexOwnerDied | tid
			if more {
				next |= futexWaiters
			}
		case t.PIDNS().TaskWithID(int32(owner)) == nil:
			return false, unix.ESRCH
		}
		was, err := m.CompareAndSwap32(addr, v, next)
		if err != nil {
			return false, err
		}
		if was == v {
			return owner == 0, nil
		}
	}
}
