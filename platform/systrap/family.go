package systrap

import (
	"fmt"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"ringfort/platform"
)

// family is a template, and ready stubs forked from it. What the host charges to
// the template's cgroups from then on it charges stubs to as well.
type family struct {
	k        *keeper
	template *process
	pool     chan *process
	stock    chan struct{} // asks for the pool to be filled
	used     chan *process // to be emptied
	usedMu   sync.Mutex    // held to send to used; a leaf
	ended    bool          // nothing is sent to used any more; guarded by usedMu

	filling sync.Mutex // held while a stub is made for the pool
	closed  bool       // guarded by template.mu: the template is gone, and what it had may be another's
}

func newFamily(k *keeper, template *process) *family {
	return &family{k: k, template: template, pool: make(chan *process, maxUsed), stock: make(chan struct{}, 1), used: make(chan *process, maxUsed)}
}

// open makes the first stub and has others made.
func (f *family) open() error {
	first, err := f.fork()
	if err != nil {
		return err
	}
	f.pool <- first
	go f.fill()
	f.stock <- struct{}{}
	return nil
}

// child makes a process that has what the template has.
func (f *family) child() (*process, error) {
	k := f.k
	p, err := k.newProcess()
	if err != nil {
		return nil, err
	}
	t := f.template
	t.mu.Lock()
	if f.closed {
		t.mu.Unlock()
		k.free(p)
		return nil, errDead
	}
	err = t.carryOut([]entry{{unix.SYS_CLONE, processFlags, 0, scratchAddr + scratchPID, 0, 0, 0, uintptr(p.slot) * ctlStride}})
	pid := int(*(*uint32)(unsafe.Add(t.ctl(), ctlSize+scratchPID)))
	t.mu.Unlock()
	if err != nil {
		k.free(p)
		return nil, fmt.Errorf("fork a stub: %w", err)
	}
	k.mu.Lock()
	p.pid = pid
	dead := k.early[pid]
	delete(k.early, pid)
	if !dead {
		k.processes[pid] = p
	}
	k.mu.Unlock()
	if dead {
		p.died()
	}
	return p, nil
}

// fork makes a stub with one application thread.
func (f *family) fork() (*process, error) {
	p, err := f.child()
	if err != nil {
		return nil, err
	}
	th, err := p.newThread()
	if err != nil {
		p.kill()
		return nil, err
	}
	p.idle = append(p.idle, th)
	p.family = f
	return p, nil
}

// fill keeps the pool full.
func (f *family) fill() {
	for {
		select {
		case p := <-f.used:
			f.refresh(p)
		case <-f.stock:
			for len(f.used) == 0 && f.one() {
			}
			if f.over() {
				return
			}
		}
	}
}

// reuse takes back a stub of which asleep is true. It reports whether there is a use
// for it.
func (f *family) reuse(p *process) bool {
	f.usedMu.Lock()
	defer f.usedMu.Unlock()
	if f.ended {
		return false
	}
	select {
	case f.used <- p:
		return true
	default:
		return false
	}
}

// refresh empties a used stub for the pool.
func (f *family) refresh(p *process) {
	f.filling.Lock()
	defer f.filling.Unlock()
	if !f.over() && p.empty() {
		select {
		case f.pool <- p:
			return
		default: // there are enough
		}
	}
	p.kill()
}

// over reports whether the family makes no more stubs.
func (f *family) over() bool {
	f.template.mu.Lock()
	defer f.template.mu.Unlock()
	return f.closed
}

// one makes a stub for the pool; false: no more are wanted, or can be made.
func (f *family) one() bool {
	f.filling.Lock()
	defer f.filling.Unlock()
	if len(f.pool) >= poolSize {
		return false
	}
	p, err := f.fork()
	if err != nil {
		return false // whoever needs one will make it, and hear why not
	}
	f.pool <- p
	return true
}

// get takes a stub from the pool or makes one.
func (f *family) get() (*process, error) {
	defer func() {
		select {
		case f.stock <- struct{}{}:
		default:
		}
	}()
	for {
		select {
		case p := <-f.pool:
			if p.dead.Load() {
				p.kill() // the host has ended it while it waited
				continue
			}
			return p, nil
		default:
			return f.fork()
		}
	}
}

// mapClock gives the clock page to the template and to all stubs that wait.
// Nobody uses the platform yet.
func (f *family) mapClock(file platform.HostFile, off uint64) error {
	page := []entry{{unix.SYS_MMAP, clockAddr, 0x1000, unix.PROT_READ, unix.MAP_SHARED | unix.MAP_FIXED, uintptr(file.RO), uintptr(off)}}
	f.filling.Lock()
	defer f.filling.Unlock()
	todo := []*process{f.template}
	for n := len(f.pool); n > 0; n-- {
		p := <-f.pool
		todo = append(todo, p)
		f.pool <- p
	}
	for _, p := range todo {
		p.mu.Lock()
		err := p.carryOut(page)
		p.mu.Unlock()
		if err != nil {
			return err
		}
	}
	f.k.hasClock = true
	return nil
}

// close ends the template and the stubs that wait. Whoever asks for one from now
// on is told that the host has none.
func (f *family) close() {
	f.filling.Lock()
	defer f.filling.Unlock()
	f.template.mu.Lock()
	again := f.closed
	f.closed = true
	f.template.mu.Unlock()
	if again {
		return
	}
	f.usedMu.Lock()
	f.ended = true
	f.usedMu.Unlock()
	f.template.kill()
	for n := len(f.pool); n > 0; n-- {
		(<-f.pool).kill()
	}
	for n := len(f.used); n > 0; n-- {
		select {
		case p := <-f.used:
			p.kill()
		default: // refresh has it, and will kill it
		}
	}
	select {
	case f.stock <- struct{}{}: // lets fill end
	default:
	}
}

// group is a family with a template of its own.
type group struct{ Platform }

// NewGroup implements platform.Grouper. The template is forked from that of p; its
// first stub comes when it is asked for, so that the caller can move the template
// to other cgroups first.
func (p *Platform) NewGroup() (platform.Group, error) {
	t, err := p.f.child()
	if err != nil {
		return nil, fmt.Errorf("systrap platform: %w", err)
	}
	f := newFamily(p.k, t)
	go f.fill()
	return &group{Platform{p.k, f}}, nil
}

// PID implements platform.Group.
func (g *group) PID() int { return g.f.template.pid }

// Release implements platform.Group.
func (g *group) Release() { g.f.close() }

var _ platform.Grouper = (*Platform)(nil)
