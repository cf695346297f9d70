package goferfs

import "sync"

const (
	// maxIdle is how many files no application has open keep their descriptors, for each file system.
	maxIdle = 2048
	// maxSteps is how many of them are considered when one has to give way.
	maxSteps = 16
)

// keptFiles are the files whose descriptors are kept though nobody has them open. The oldest gives way that was not
// opened again since it last came to that. mu comes after the inode's; the mu of another inode is only tried for.
type keptFiles struct {
	mu   sync.Mutex
	ring []*inode
	most int // files in ring
	hand int
}

// keep has the file keep its descriptors, if there is a place for it. in.mu is held.
func (in *inode) keep() {
	k := &in.fs.kept
	k.mu.Lock()
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

// place gives in a place. It returns the file, locked, that has to give way for it, nil if there was room. k.mu and
// in.mu are held.
func (k *keptFiles) place(in *inode) (old *inode, ok bool) {
	if len(k.ring) < k.most {
		in.slot = len(k.ring)
		k.ring = append(k.ring, in)
		in.kept.Store(true)
		return nil, true
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
