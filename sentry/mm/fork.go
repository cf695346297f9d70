package mm

import (
	"ringfort/platform"
	"ringfort/sentry/memmap"
	"ringfort/sentry/usermem"
)

// Fork returns a copy of m for a new process. Private pages are shared until
// one side writes. flush makes the host take the parent's write access away
// before the copy is used.
func (m *MemoryManager) Fork(p platform.Platform, flush func() error) (*MemoryManager, error) {
	n, err := New(p, m.file, m.layout)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	n.hot = m.hot
	if p, ok := n.as.(platform.Patcher); ok {
		p.InheritPatches(m.as)
	}
	n.brk, n.allowance, n.program = m.brk, m.allowance, m.program
	n.setTitle(m.title)
	n.Info = m.Info
	n.dumpable.Store(m.Info.Dumpable == 1)
	if o := m.Owner(); o != nil {
		n.SetOwner(o) // until the new process has a name of its own
	}
	n.Info.Auxv = append([]byte(nil), m.Info.Auxv...)
	if n.Info.Exe != nil {
		n.Info.Exe.IncRef()
	}
	for _, v := range m.vmas.list {
		if v.noFork {
			continue
		}
		if err := m.forkVMA(n, v); err != nil {
			m.mu.Unlock()
			n.DecUsers()
			return nil, err
		}
	}
	m.mu.Unlock()
	return n, flush()
}

// forkVMA copies v and its pages into n.
func (m *MemoryManager) forkVMA(n *MemoryManager, v *vma) error {
	w := *v
	w.locked = false
	if v.obj != nil {
		if err := v.obj.AddMapping(n, v.Range, v.off, m.mayWriteObject(v)); err != nil {
			return err
		}
	}
	if v.id != nil {
		v.id.IncRef()
	}
	n.vmas.list = append(n.vmas.list, &w)
	n.account(&w, 1)
	if v.wipeOnFork {
		return nil
	}
	m.copyHot(n, v)
	i, j := m.pmas.within(v.Range)
	for _, p := range m.pmas.list[i:j] {
		part := p.Intersect(v.Range)
		if _, ok := n.pmas.at(part.Start); ok {
			continue // copied
		}
		if !v.shared && !p.cow {
			m.share(p)
		}
		q := p.sub(part)
		q.file.IncRef(q.fileRange())
		q.own = false
		n.addPMA(q)
		n.hostMap(q)
	}
	return nil
}

// share makes the pages of p copy-on-write.
func (m *MemoryManager) share(p *pma) {
	before := p.hostProt()
	p.cow = true
	if after := p.hostProt(); after != before && after != 0 {
		m.stale.Store(true)
		m.as.Protect(uintptr(p.Start), uintptr(p.Len()), after)
	}
}

// Key identifies a word of memory across address spaces: the same word of a
// shared mapping has the same key everywhere (futex(2)).
type Key struct {
	Space *MemoryManager // private: the address space
	Obj   any            // shared: the object, nil for private memory
	Off   uint64         // address, or offset in the object
}

// FutexKey returns the key of the word at addr. A private key needs no look
// at the mappings.
func (m *MemoryManager) FutexKey(addr usermem.Addr, private bool) (Key, error) {
	if private {
		return Key{Space: m, Off: uint64(addr)}, nil
	}
	m.mu.RLock()
	v, ok := m.vmas.at(addr)
	shared := ok && v.shared && v.obj != nil
	var key Key
	if shared {
		key = Key{Obj: identity(v.obj), Off: v.offsetOf(addr)}
	}
	m.mu.RUnlock()
	if shared {
		return key, nil
	}
	return Key{Space: m, Off: uint64(addr)}, nil
}

// identity returns what tells obj from others: Mappables made anew for each
// open of one file say so by a MapKey method.
func identity(obj memmap.Mappable) any {
	if k, ok := obj.(interface{ MapKey() any }); ok {
		return k.MapKey()
	}
	return obj
}
