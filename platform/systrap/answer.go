package systrap

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"ringfort/platform"
)

// answerSet are the results that the stub gives by itself to calls that need
// nothing but the caller's identity, to those about descriptors that it has made before, and
// whether it looks names up. They stand in memory the application can write: it can lie to
// itself only.
//
// mu is a leaf.
type answerSet struct {
	mu   sync.Mutex
	t    *thread // nil outside a stub
	list []answer
	read bool // the table of names as well
	echo bool // there may be echoes
	stat bool // there may be a statEcho
	hand bool // there may be a readEcho
	shut bool // there may be descriptors that the stub closes
}

type answer struct {
	nr    uintptr
	value uint64
}

// In the place of an answer: the stub makes the call, reads the clock page, looks for an echo or a statEcho, or closes a
// descriptor if it may.
const (
	doItself  = ^uint64(0xffe)
	readClock = ^uint64(0xffd)
	findEcho  = ^uint64(0xffc)
	findStat  = ^uint64(0xffb)
	mayShut   = ^uint64(0xffa)
)

// echoed are the calls that may have echoes.
var echoed = [...]uintptr{unix.SYS_READ, unix.SYS_WRITE, unix.SYS_LSEEK, unix.SYS_RECVFROM}

// echo is how the stub finds a call about a descriptor that it can answer: by the number, the descriptor and those of the
// arguments that matter, as long as two generations are what they were.
type echo struct {
	key    uint64 // number, and the descriptor in the upper half
	rsi    uint64 // lseek
	rdx    uint64
	r10    uint32 // recvfrom
	slots  [2]uint16
	result uint64 // of a write: the stub's
	gens   [2]uint64
	_      uint64
}

// statEcho is how the stub finds the result of an fstat, and of what else programs ask about a file that they have just opened.
type statEcho struct {
	fd    uint64 // and 1; 0: there is none
	slots [2]uint32
	gens  [2]uint64
	used  uint32 // set by the stub, with fstat
	_     uint32
	pos   int64 // the offset
	_     [4]uint32
	stat  unix.Stat_t
}

// readEcho is how the stub finds what it hands out of the window.
type readEcho struct {
	fd        uint64 // and 1; 0: there is none
	size, pos uint32 // pos is moved on by the stub
	slots     [2]uint32
	gens      [2]uint64
}

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

// repeat puts an echo into the area.
func (a *answerSet) repeat(e *platform.Echo) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.t == nil {
		return
	}
	*(*echo)(unsafe.Add(a.t.mem, offEchoes+unsafe.Sizeof(echo{})*uintptr(e.FD%echoes))) = echo{
		key: uint64(e.Nr) | uint64(uint32(e.FD))<<32, rsi: e.Args[0], rdx: e.Args[1], r10: uint32(e.Args[2]),
		slots: [2]uint16{uint16(e.Slots[0]), uint16(e.Slots[1])}, result: e.Result, gens: e.Gens,
	}
	if !a.echo {
		a.echo = true
		for _, nr := range echoed {
			atomic.StoreUint64(a.t.u64(offAnswers+8*nr), findEcho)
		}
	}
}

// repeatStat puts the result of an fstat into the area.
func (a *answerSet) repeatStat(fd int32, st *unix.Stat_t, offset int64, slots [2]uint32, gens [2]uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.t == nil {
		return
	}
	e := (*statEcho)(unsafe.Add(a.t.mem, offStat))
	*e = statEcho{fd: uint64(fd) + 1, pos: offset, slots: slots, gens: gens, stat: *st}
	if !a.stat {
		a.stat = true
		atomic.StoreUint64(a.t.u64(offAnswers+8*unix.SYS_FSTAT), findStat)
		atomic.StoreUint64(a.t.u64(offAnswers+8*unix.SYS_IOCTL), findStat)
		atomic.StoreUint64(a.t.u64(offAnswers+8*unix.SYS_LSEEK), findEcho)
	}
}

// handOut has reads of a descriptor hand out the first n bytes of the window.
func (a *answerSet) handOut(fd int32, n uint32, slots [2]uint32, gens [2]uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.t == nil {
		return
	}
	*a.t.handed() = readEcho{fd: uint64(fd) + 1, size: n, slots: slots, gens: gens}
	if !a.hand {
		a.hand = true
		atomic.StoreUint64(a.t.u64(offAnswers+8*unix.SYS_READ), findEcho)
	}
}

// mayClose tells the stub which descriptors it may close.
func (a *answerSet) mayClose(fds uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.t == nil {
		return
	}
	atomic.StoreUint64(a.t.u64(offClosable), fds)
	if !a.shut {
		a.shut = true
		atomic.StoreUint64(a.t.u64(offAnswers+8*unix.SYS_CLOSE), mayShut)
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
	if a.stat {
		a.stat = false
		for _, nr := range [...]uintptr{unix.SYS_FSTAT, unix.SYS_IOCTL, unix.SYS_LSEEK} {
			atomic.StoreUint64(a.t.u64(offAnswers+8*nr), noAnswer)
		}
		atomic.StoreUint64(a.t.u64(offStat), 0)
	}
	if a.hand {
		a.hand = false
		atomic.StoreUint64(a.t.u64(offAnswers+8*unix.SYS_READ), noAnswer)
		atomic.StoreUint64(a.t.u64(offRead), 0)
	}
	if a.shut {
		a.shut = false
		atomic.StoreUint64(a.t.u64(offAnswers+8*unix.SYS_CLOSE), noAnswer)
	}
	if a.echo {
		a.echo = false
		for _, nr := range echoed {
			atomic.StoreUint64(a.t.u64(offAnswers+8*nr), noAnswer)
		}
		a.t.noEchoes()
	}
}

// noEchoes makes the echoes such that no call finds one: 0 would be a read of nothing from descriptor 0.
func (a area) noEchoes() {
	for i := range uintptr(echoes) {
		atomic.StoreUint64(a.u64(offEchoes+unsafe.Sizeof(echo{})*i), noAnswer)
	}
}
