package goferfs

import (
	"math"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxIdle is how many files no application has open keep their descriptors in the container's root. Each costs the host
	// about a kilobyte, of what the sandbox may have.
	maxIdle = 32768
	// memoryShare is how much of the memory that a container may have there has to be for each.
	memoryShare = 64 << 10
	// restIdle is how many keep theirs in other file systems, however little memory there is, and while no files are used.
	restIdle = 2048
	// idleFor is for how long a file system is not used before those beyond restIdle are let go of.
	idleFor = 10 * time.Second
	// trimBatch is how many are let go of at a time.
	trimBatch = 64
	// admitOne is how many ask for a place, when there is no room, until one gets it.
	admitOne = 8
	// maxSteps is how many of them are considered when one has to give way.
	maxSteps = 16
)

// keptFiles are the files whose descriptors are kept though nobody has them open. When there is no room one in admitOne
// gets a place, and the oldest gives way that was not opened again since it last came to that: who goes through more files
// than there are places, again and again, finds most of them. mu comes after the inode's; the mu of another inode is only
// tried for.
type keptFiles struct {
	mu     sync.Mutex
	ring   []*inode
	most   int // files in ring
	scarce int // a descriptor with this number or a higher one says that there are not many left
	hand   int
	turned int  // how many got no place, modulo admitOne
	used   bool // since trim looked last
	timed  bool // trim is going to be called
}

// limit sets the bounds of k, by Options.Memory.
func (k *keptFiles) limit(memory uint64) {
	k.most, k.scarce = max(restIdle, int(min(memory/memoryShare, maxIdle))), math.MaxInt
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
	k.used = true
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
		if len(k.ring) > restIdle && !k.timed {
			k.timed = true
			time.AfterFunc(idleFor, k.trim)
		}
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

// trim lets go of what is beyond restIdle if no file was used for a while.
func (k *keptFiles) trim() {
	k.mu.Lock()
	used := k.used
	k.used = false
	k.mu.Unlock()
	if !used {
		k.shrink()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.timed = len(k.ring) > restIdle; k.timed {
		time.AfterFunc(idleFor, k.trim)
	}
}

// shrink lets go of the descriptors beyond restIdle. The locks of inodes may be held.
func (k *keptFiles) shrink() {
	for more := true; more; {
		k.mu.Lock()
		var idle []*inode
		idle, more = k.last(min(trimBatch, len(k.ring)-restIdle))
		k.mu.Unlock()
		for _, in := range idle {
			in.closeData()
			in.mu.Unlock()
		}
	}
}

// last takes the last files, n at most, from the ring, and returns those, locked, that are not in use, and whether there
// may be more. k.mu is held.
func (k *keptFiles) last(n int) (idle []*inode, more bool) {
	k.hand = 0
	for range n {
		in := k.ring[len(k.ring)-1]
		if in.kept.Load() {
			if !in.mu.TryLock() {
				return idle, false
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
	return idle, n > 0
}
