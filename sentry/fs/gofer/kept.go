package goferfs

import (
	"math"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// maxKept is how many files no application has open keep their descriptors in each file system. They are few, for all
	// processes of the sandbox have them: who looks at /proc/PID/fd on the host, as monitors do every few seconds, finds
	// all of them in each. With 12,000 and the processes of one pipe that took a tenth of a core.
	maxKept = 2048
	// admitOne is how many ask for a place, when there is no room, until one gets it.
	admitOne = 8
	// maxSteps is how many of them are considered when one has to give way.
	maxSteps = 16
)

// keptFiles are the files whose descriptors are kept though nobody has them open. When there is no room one in admitOne
// gets a place, and the oldest gives way that was not opened again since it last came to that: who goes through more files
// than there are places, again and again, finds as many of them as that. mu comes after the inode's; the mu of another
// inode is only tried for.
type keptFiles struct {
	mu     sync.Mutex
	ring   []*inode
	most   int // files in ring
	scarce int // a descriptor with this number or a higher one says that there are not many left
	hand   int
	turned int // how many got no place, modulo admitOne
}

// limit sets the bounds of k.
func (k *keptFiles) limit() {
	k.most, k.scarce = maxKept, math.MaxInt
	var files unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &files) == nil && files.Cur < math.MaxInt32 {
		k.most = min(k.most, int(files.Cur/8*5))
		k.scarce = int(files.Cur / 8 * 7)
	}
}

// keep has the file keep its descriptors, if there is a place for it. in.mu is held.
func (in *inode) keep() {
	if windowCount.Load() > rereadWindows && in.data.viewed() {
		in.closeData() // the host bounds the mappings of a process
		return
	}
	k := &in.fs.kept
	k.mu.Lock()
	if in.data.any() >= k.scarce {
		k.mu.Unlock()
		in.closeData()
		k.shrink()
		return
	}
	if in.slot < len(k.ring) && k.ring[in.slot] == in {
		in.kept.Store(true)
		in.again = true
		k.mu.Unlock()
		return
	}
	old, ok := k.place(in)
	k.mu.Unlock()
	if old != nil {
		old.closeData()
		old.mu.Unlock()
	}
	if !ok {
		in.closeData()
	}
}

// place gives in a place, if it can. It returns the file, locked, that has to give way for it, nil if there was room. k.mu
// and in.mu are held.
func (k *keptFiles) place(in *inode) (old *inode, ok bool) {
	if len(k.ring) < k.most {
		in.slot = len(k.ring)
		k.ring = append(k.ring, in)
		in.kept.Store(true)
		return nil, true
	}
	if k.turned = (k.turned + 1) % admitOne; k.turned != 0 {
		return nil, false
	}
	for range maxSteps {
		at := k.hand
		k.hand = (k.hand + 1) % len(k.ring)
		v := k.ring[at]
		if v.kept.Load() {
			if v.again {
				v.again = false
				continue
			}
			if !v.mu.TryLock() {
				continue
			}
			if v.kept.Load() {
				old = v
			} else { // opened just now
				v.mu.Unlock()
			}
		}
		k.ring[at], in.slot, in.again = in, at, false
		in.kept.Store(true)
		return old, true
	}
	return nil, false
}

// shrink lets go of half of the descriptors. The locks of inodes may be held.
func (k *keptFiles) shrink() {
	k.mu.Lock()
	idle := k.last(len(k.ring) / 2)
	k.mu.Unlock()
	for _, in := range idle {
		in.closeData()
		in.mu.Unlock()
	}
}

// last takes the last files, n at most, from the ring, and returns those, locked, that are not in use. k.mu is held.
func (k *keptFiles) last(n int) (idle []*inode) {
	k.hand = 0
	for range n {
		in := k.ring[len(k.ring)-1]
		if in.kept.Load() {
			if !in.mu.TryLock() {
				break
			}
			if in.kept.Load() {
				idle = append(idle, in)
			} else { // opened just now
				in.mu.Unlock()
			}
		}
		k.ring[len(k.ring)-1] = nil
		k.ring = k.ring[:len(k.ring)-1]
	}
	return idle
}
