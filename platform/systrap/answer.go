package systrap

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// answerSet are the results that the stub gives by itself to calls that need
// nothing but the caller's identity, and whether it looks names up. They stand in memory the application can
// write: it can lie to itself only.
//
// mu is a leaf.
type answerSet struct {
	mu   sync.Mutex
	t    *thread // nil outside a stub
	list []answer
	read bool // the table of names as well
}

type answer struct {
	nr    uintptr
	value uint64
}

// In the place of an answer: the stub makes the call, or reads the clock page.
const (
	doItself  = ^uint64(0xffe)
	readClock = ^uint64(0xffd)
)

// set changes one answer.
func (a *answerSet) set(nr uintptr, value uint64) {
	if nr >= answers {
		return
	}
	switch nr {
	case unix.SYS_SCHED_YIELD:
		value = doItself
	case unix.SYS_CLOCK_GETTIME:
		value = readClock
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	found := false
	for i := range a.list {
		if a.list[i].nr == nr {
			a.list[i].value, found = value, true
		}
	}
	if !found {
		a.list = append(a.list, answer{nr, value})
	}
	if a.t != nil {
		atomic.StoreUint64(a.t.u64(offAnswers+8*nr), value)
	}
}

// clear takes all answers back.
func (a *answerSet) clear() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.withdraw()
	a.list, a.read = nil, false
}

// readNames has the table of names read, or not.
func (a *answerSet) readNames(on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.read = on
	if a.t != nil {
		atomic.StoreUint64(a.t.u64(offNames), a.table())
	}
}

// table is what offNames has. a.mu is held.
func (a *answerSet) table() uint64 {
	if a.read {
		return namesAddr
	}
	return 0
}

// publish makes t, nil for none, the thread that has the answers.
func (a *answerSet) publish(t *thread) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.withdraw()
	a.t = t
	if t == nil {
		return
	}
	for _, v := range a.list {
		atomic.StoreUint64(t.u64(offAnswers+8*v.nr), v.value)
	}
	atomic.StoreUint64(t.u64(offNames), a.table())
}

func (a *answerSet) withdraw() {
	if a.t == nil {
		return
	}
	atomic.StoreUint64(a.t.u64(offNames), 0)
	for _, v := range a.list {
		atomic.StoreUint64(a.t.u64(offAnswers+8*v.nr), noAnswer)
	}
}
