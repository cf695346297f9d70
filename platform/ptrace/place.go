package ptrace

import (
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A stop of a thread on another core than its tracer's costs five times one on
// the same core (an inter-processor interrupt in a virtual machine; DESIGN
// section 4). So tracer and thread are pinned to one core, chosen anew after each
// pause of the pair; a thread that computes for long is set free.
const (
	// rethink is after how many switches a pair looks for a better core.
	rethink = 256
	// freeAfter is how long a thread runs without a stop before it may move.
	freeAfter = 4 * time.Millisecond
)

// load counts the pairs placed on each core that are executing now.
var load [1024]atomic.Int32

// cores are the cores this process may use.
var cores = allowedCores()

func allowedCores() (list []int) {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return nil
	}
	for i := range len(load) {
		if set.IsSet(i) {
			list = append(list, i)
		}
	}
	return list
}

// placement is where a context's pair of threads runs. Used by its owner, but
// for the fields the watcher reads.
type placement struct {
	core   int // pinned to, -1 before the first switch
	known  bool
	left   int
	tid    atomic.Int32
	since  atomic.Int64 // start of the present switch, 0 outside
	loose  atomic.Bool  // the watcher set the thread free
	listed bool
}

func (p *placement) forget() { p.known = false }

// before pins the pair before the thread is resumed.
func (p *placement) before(tid int) {
	if len(cores) < 2 {
		return
	}
	if !p.known || p.left <= 0 || p.loose.Load() {
		p.choose(tid)
	}
	p.left--
	load[p.core].Add(1)
	p.since.Store(now())
	wakeWatcher()
}

// after notes that the thread stopped.
func (p *placement) after() {
	if len(cores) < 2 {
		return
	}
	p.since.Store(0)
	load[p.core].Add(-1)
}

// choose picks the least loaded core, preferring the present one.
func (p *placement) choose(tid int) {
	best := p.core
	if !p.known && !p.listed {
		best = cores[int(tid)%len(cores)]
	}
	for _, c := range cores {
		if load[c].Load() < load[best].Load() {
			best = c
		}
	}
	if !p.known || best != p.core || p.loose.Load() {
		var set unix.CPUSet
		set.Set(best)
		setAffinity(0, &set)
		setAffinity(tid, &set)
	}
	p.core, p.known, p.left = best, true, rethink
	p.tid.Store(int32(tid))
	p.loose.Store(false)
	if !p.listed {
		p.listed = true
		watch(p)
	}
}

func setAffinity(tid int, set *unix.CPUSet) {
	unix.RawSyscall(unix.SYS_SCHED_SETAFFINITY, uintptr(tid), unsafe.Sizeof(*set), uintptr(unsafe.Pointer(set)))
}

var start = time.Now()

func now() int64 { return int64(time.Since(start)) }

// release unpins the calling OS thread, which goes back to the Go scheduler.
func (p *placement) release() {
	if !p.listed {
		return
	}
	unwatch(p)
	var set unix.CPUSet
	for _, c := range cores {
		set.Set(c)
	}
	setAffinity(0, &set)
}
