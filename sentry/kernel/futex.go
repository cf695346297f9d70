package kernel

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"ringfort/sentry/mm"
	"ringfort/sentry/usermem"
)

// futexBuckets is the number of hash buckets, each with its own lock.
const futexBuckets = 256

// futexTable holds who waits on which word of memory.
type futexTable struct {
	seed    uint64
	buckets [futexBuckets]futexBucket
}

type futexBucket struct {
	mu      sync.Mutex
	waiters []*futexWaiter // in order of arrival
}

// futexWaiter is a task waiting on a word. A task waits on one at a time, so it
// has one of its own (Task.futex).
type futexWaiter struct {
	t     *Task
	key   mm.Key
	mask  uint32
	woken bool
	pi    bool // waits for a PI futex: is handed ownership
	// target is the PI futex to be moved to (FUTEX_WAIT_REQUEUE_PI); its zero
	// value is none.
	target mm.Key

	// lock is the bucket the waiter is in; requeue moves it. Guarded by the
	// bucket's mu, and stable while that is held.
	in atomic.Pointer[futexBucket]
}

func (f *futexTable) init() { f.seed = rand.Uint64() }

func (f *futexTable) bucket(key mm.Key) *futexBucket {
	return &f.buckets[f.index(key)]
}

// index spreads keys over the buckets. Of a shared word only the offset counts:
// objects have no number.
func (f *futexTable) index(key mm.Key) uint64 {
	h := f.seed ^ key.Off>>2 ^ uint64(uintptr(unsafe.Pointer(key.Space)))<<20
	h *= 0x9e3779b97f4a7c15 // 2^64 over the golden ratio
	return h >> 32 % futexBuckets
}

// waiter returns t's waiter, ready for use in b. Owner only.
func (t *Task) futexWaiter(b *futexBucket, key mm.Key, mask uint32, pi bool) *futexWaiter {
	w := &t.futex
	w.t, w.key, w.mask, w.woken, w.pi, w.target = t, key, mask, false, pi, mm.Key{}
	w.in.Store(b)
	return w
}

// lock locks the bucket w is in.
func (w *futexWaiter) lock() *futexBucket {
	for {
		b := w.in.Load()
		b.mu.Lock()
		if w.in.Load() == b {
			return b
		}
		b.mu.Unlock()
	}
}

func (b *futexBucket) remove(w *futexWaiter) {
	for i, o := range b.waiters {
		if o == w {
			b.waiters = slices.Delete(b.waiters, i, i+1)
			return
		}
	}
}

// ownsLater reports whether w waits to become the owner of a PI futex, which a mere
// wake-up does not make it.
func (w *futexWaiter) ownsLater() bool { return w.pi || w.target != mm.Key{} }

// onlyPlain returns EINVAL if a waiter of key waits for a PI futex.
func (b *futexBucket) onlyPlain(key mm.Key) error {
	for _, w := range b.waiters {
		if w.key == key && w.ownsLater() {
			return unix.EINVAL
		}
	}
	return nil
}

// wake wakes up to n waiters of key whose mask meets mask. None of them waits
// for a PI futex.
func (b *futexBucket) wake(key mm.Key, n int, mask uint32) int {
	woken := 0
	kept := b.waiters[:0]
	for _, w := range b.waiters {
		if woken < n && w.key == key && w.mask&mask != 0 {
			w.woken = true
			w.t.Notify(nil, 0)
			woken++
			continue
		}
		kept = append(kept, w)
	}
	clear(b.waiters[len(kept):])
	b.waiters = kept
	return woken
}

// FutexWait waits while the word at addr is val (FUTEX_WAIT_BITSET). ETIMEDOUT,
// EAGAIN if the word differs, ErrInterrupted.
func (t *Task) FutexWait(addr usermem.Addr, val, mask uint32, private bool, deadline int64) error {
	key, err := t.MM().FutexKey(addr, private)
	if err != nil {
		return err
	}
	b := t.k.futexes.bucket(key)
	b.mu.Lock()
	// The word is read with the bucket locked: a waker changes the word first
	// and then takes the lock, so it either is seen here or finds the waiter.
	v, err := t.MM().Load32(addr)
	if err != nil || v != val {
		b.mu.Unlock()
		if err == nil {
			err = unix.EAGAIN
		}
		return err
	}
	w := t.futexWaiter(b, key, mask, false)
	b.waiters = append(b.waiters, w)
	b.mu.Unlock()
	return t.futexSleep(w, deadline)
}

// futexSleep parks t until w is woken.
func (t *Task) futexSleep(w *futexWaiter, deadline int64) error {
	for {
		err := t.Block(deadline)
		b := w.lock()
		if w.woken {
			b.mu.Unlock()
			return nil
		}
		if err != nil {
			b.remove(w)
			b.mu.Unlock()
			return err
		}
		b.mu.Unlock()
	}
}

// FutexWake wakes up to n waiters on the word at addr (FUTEX_WAKE_BITSET).
func (k *Kernel) FutexWake(t *Task, addr usermem.Addr, n int, mask uint32, private bool) (int, error) {
	key, err := t.MM().FutexKey(addr, private)
	if err != nil {
		return 0, err
	}
	b := k.futexes.bucket(key)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.onlyPlain(key); err != nil {
		return 0, err
	}
	return b.wake(key, n, mask), nil
}

// lockTwo locks the buckets of two keys in a fixed order.
func (f *futexTable) lockTwo(k1, k2 mm.Key) (b1, b2 *futexBucket) {
	i, j := f.index(k1), f.index(k2)
	f.buckets[min(i, j)].mu.Lock()
	if i != j {
		f.buckets[max(i, j)].mu.Lock()
	}
	return &f.buckets[i], &f.buckets[j]
}

func unlockTwo(b1, b2 *futexBucket) {
	b1.mu.Unlock()
	if b1 != b2 {
		b2.mu.Unlock()
	}
}

// FutexRequeue wakes nWake waiters of a1 and moves nMove others to a2. If
// compare is set the word at a1 must be val (EAGAIN). It returns the number woken
// and moved.
func (t *Task) FutexRequeue(a1, a2 usermem.Addr, nWake, nMove int, compare bool, val uint32, private bool) (int, error) {
	m := t.MM()
	k1, err := m.FutexKey(a1, private)
	if err != nil {
		return 0, err
	}
	k2, err := m.FutexKey(a2, private)
	if err != nil {
		return 0, err
	}
	b1, b2 := t.k.futexes.lockTwo(k1, k2)
	defer unlockTwo(b1, b2)
	if compare {
		v, err := m.Load32(a1)
		if err != nil {
			return 0, err
		}
		if v != val {
			return 0, unix.EAGAIN
		}
	}
	if err := b1.onlyPlain(k1); err != nil {
		return 0, err
	}
	done := b1.wake(k1, nWake, ^uint32(0))
	if k1 == k2 {
		return done, nil
	}
	var moved []*futexWaiter
	kept := b1.waiters[:0]
	for _, w := range b1.waiters {
		if w.key == k1 && len(moved) < nMove {
			w.key = k2
			w.in.Store(b2)
			moved = append(moved, w)
			continue
		}
		kept = append(kept, w)
	}
	clear(b1.waiters[len(kept):])
	b1.waiters = kept
	b2.waiters = append(b2.waiters, moved...)
	return done + len(moved), nil
}

// FutexWakeOp is FUTEX_WAKE_OP: it changes the word at a2 as op says, wakes n1
// waiters of a1 and, if the old word compares, n2 of a2.
func (t *Task) FutexWakeOp(a1, a2 usermem.Addr, n1, n2 int, op uint32, private bool) (int, error) {
	m := t.MM()
	k1, err := m.FutexKey(a1, private)
	if err != nil {
		return 0, err
	}
	k2, err := m.FutexKey(a2, private)
	if err != nil {
		return 0, err
	}
	b1, b2 := t.k.futexes.lockTwo(k1, k2)
	defer unlockTwo(b1, b2)
	if err := b1.onlyPlain(k1); err != nil {
		return 0, err
	}
	if err := b2.onlyPlain(k2); err != nil {
		return 0, err
	}
	old, err := t.futexOp(a2, op)
	if err != nil {
		return 0, err
	}
	done := b1.wake(k1, n1, ^uint32(0))
	if futexCompare(old, op) {
		done += b2.wake(k2, n2, ^uint32(0))
	}
	return done, nil
}

// futexOp applies the operation encoded in op (futex(2), FUTEX_WAKE_OP).
func (t *Task) futexOp(addr usermem.Addr, op uint32) (old uint32, err error) {
	arg := uint32(int32(op<<8) >> 20) // bits 12..23, signed
	kind := op >> 28 & 7
	if op>>31 != 0 {
		if arg > 31 {
			return 0, unix.EINVAL
		}
		arg = 1 << arg
	}
	m := t.MM()
	for {
		old, err = m.Load32(addr)
		if err != nil {
			return 0, err
		}
		var v uint32
		switch kind {
		case 0:
			v = arg
		case 1:
			v = old + arg
		case 2:
			v = old | arg
		case 3:
			v = old &^ arg
		case 4:
			v = old ^ arg
		default:
			return 0, unix.ENOSYS
		}
		was, err := m.CompareAndSwap32(addr, old, v)
		if err != nil {
			return 0, err
		}
		if was == old {
			return old, nil
		}
	}
}

func futexCompare(old, op uint32) bool {
	arg := int32(op<<20) >> 20 // bits 0..11, signed
	v := int32(old)
	switch op >> 24 & 15 {
	case 0:
		return v == arg
	case 1:
		return v != arg
	case 2:
		return v < arg
	case 3:
		return v <= arg
	case 4:
		return v > arg
	case 5:
		return v >= arg
	}
	return false
}

// Bits of a PI or robust futex word (futex(2)).
const (
	futexWaiters   = 0x80000000
	futexOwnerDied = 0x40000000
	futexTIDMask   = 0x3fffffff
)

// RobustList is the head of the list of robust futexes (set_robust_list(2)).
type RobustList struct{ Head usermem.Addr }

// SetRobustList is set_robust_list(2).
func (t *Task) SetRobustList(head usermem.Addr) { t.robust.Head = head }

// RobustList returns the head for get_robust_list(2).
func (t *Task) RobustListHead() usermem.Addr { return t.robust.Head }

// robustMax bounds the walk of a list the application made (ROBUST_LIST_LIMIT).
const robustMax = 2048

// exitFutexes marks the robust futexes of a dying task (set_robust_list(2)).
func (t *Task) exitFutexes() {
	head := t.robust.Head
	t.robust.Head = 0
	if head == 0 {
		return
	}
	m := t.MM()
	type listHead struct {
		next    uint64
		offset  int64
		pending uint64
	}
	h, err := usermem.CopyInVal[listHead](m, head)
	if err != nil {
		return
	}
	entry := h.next
	for i := 0; i < robustMax && usermem.Addr(entry&^1) != head; i++ {
		next, err := usermem.CopyInVal[uint64](m, usermem.Addr(entry&^1))
		if entry != h.pending {
			t.dieHolding(usermem.Addr(int64(entry&^1)+h.offset), entry&1 != 0)
		}
		if err != nil {
			return
		}
		entry = next
	}
	if h.pending != 0 {
		t.dieHolding(usermem.Addr(int64(h.pending&^1)+h.offset), h.pending&1 != 0)
	}
}

// dieHolding marks a futex whose owner dies and wakes a waiter.
func (t *Task) dieHolding(addr usermem.Addr, pi bool) {
	m := t.MM()
	if addr&3 != 0 {
		return
	}
	for {
		v, err := m.Load32(addr)
		if err != nil || v&futexTIDMask != uint32(t.TID()) {
			return
		}
		if pi {
			if key, err := m.FutexKey(addr, false); err == nil {
				_ = t.handOver(key, addr, futexOwnerDied)
			}
			return
		}
		was, err := m.CompareAndSwap32(addr, v, v&futexWaiters|futexOwnerDied)
		if err != nil {
			return
		}
		if was != v {
			continue
		}
		if v&futexWaiters != 0 {
			_, _ = t.k.FutexWake(t, addr, 1, ^uint32(0), false)
			_, _ = t.k.FutexWake(t, addr, 1, ^uint32(0), true)
		}
		return
	}
}
