package mm

import (
	"ringfort/platform"
	"ringfort/sentry/memmap"
	"ringfort/sentry/usermem"
)

// Mapping is one VMA as /proc/PID/maps and smaps tell it.
type Mapping struct {
	usermem.Range
	Prot      platform.Prot
	Shared    bool
	GrowsDown bool
	Locked    bool
	Off       uint64
	Name      string // of a file, or "[heap]" and the like
	Dev, Ino  uint64
	RSS       uint64 // bytes present
	Private   uint64 // of these, bytes of private pages
	MayRead   bool
	MayWrite  bool
	MayExec   bool
	WipeFork  bool
	NoFork    bool
	NoReserve bool
}

// Maps returns the mappings in order of address, with names as the viewer, a
// vfs.Caller, sees them.
func (m *MemoryManager) Maps(viewer any) []Mapping {
	list, ids := m.maps()
	for i, id := range ids {
		if id != nil {
			list[i].Name, list[i].Dev, list[i].Ino = id.MappedName(viewer)
			id.DecRef()
		}
	}
	return list
}

// maps returns the mappings without names, and what names them, with a
// reference: a name is not asked for with m.mu held.
func (m *MemoryManager) maps() ([]Mapping, []memmap.Identity) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	list := make([]Mapping, 0, len(m.vmas.list))
	ids := make([]memmap.Identity, 0, len(m.vmas.list))
	for _, v := range m.vmas.list {
		e := Mapping{Range: v.Range, Prot: v.prot, Shared: v.shared, GrowsDown: v.growsDown, Locked: v.locked,
			Off: v.off, Name: v.name, MayRead: v.maxProt&platform.Read != 0, MayWrite: v.maxProt&platform.Write != 0,
			MayExec: v.maxProt&platform.Exec != 0, WipeFork: v.wipeOnFork, NoFork: v.noFork, NoReserve: v.noReserve}
		if v.id != nil {
			v.id.IncRef()
		}
		i, j := m.pmas.within(v.Range)
		for _, p := range m.pmas.list[i:j] {
			n := uint64(p.Intersect(v.Range).Len())
			e.RSS += n
			if p.private {
				e.Private += n
			}
		}
		list, ids = append(list, e), append(ids, v.id)
	}
	return list, ids
}
