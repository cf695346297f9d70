package mm

import (
	"ringfort/platform"
	"ringfort/sentry/memmap"
	"ringfort/sentry/usermem"
)

// vma is a range of addresses mapped by one request.
type vma struct {
	usermem.Range
	prot, maxProt platform.Prot
	shared        bool
	growsDown     bool
	locked        bool
	noFork        bool // MADV_DONTFORK
	wipeOnFork    bool // MADV_WIPEONFORK
	noReserve     bool
	stack         bool // MAP_STACK: of a thread

	obj  memmap.Mappable // nil for private anonymous memory
	off  uint64          // of Start in obj
	id   memmap.Identity // of obj, for /proc/PID/maps
	name string          // "[heap]", "[stack]", …
}

func (v *vma) bounds() usermem.Range { return v.Range }

// anonymous reports whether the memory is private to the process from the start.
func (v *vma) anonymous() bool { return v.obj == nil }

// small reports whether n bytes of v are a mapping that may get its pages at once.
func (v *vma) small(n usermem.Addr) bool {
	return v.anonymous() && !v.growsDown && v.prot&platform.Write != 0 && n <= eagerMax
}

// whole reports whether n bytes of v are mapped together when one of them is needed.
func (v *vma) whole(n usermem.Addr) bool {
	_, ready := v.obj.(memmap.Ready)
	return ready && (n <= wholeBytes || n <= wholeCode && v.prot&platform.Exec != 0)
}

// brief reports whether v is so little of a file, the data of a library say, that it is copied whole when it is written to.
func (v *vma) brief() bool {
	return v.obj != nil && !v.shared && v.Len() <= cowBrief*usermem.PageSize
}

// offsetOf returns the offset in the object of address a.
func (v *vma) offsetOf(a usermem.Addr) uint64 { return v.off + uint64(a-v.Start) }

// mergeable reports whether w, which follows v, may become part of it.
func (v *vma) mergeable(w *vma) bool {
	return v.End == w.Start && v.prot == w.prot && v.maxProt == w.maxProt && v.shared == w.shared &&
		v.growsDown == w.growsDown && v.locked == w.locked && v.noFork == w.noFork &&
		v.wipeOnFork == w.wipeOnFork && v.noReserve == w.noReserve && v.stack == w.stack && v.name == w.name &&
		v.obj == w.obj && v.id == w.id && (v.obj == nil || v.offsetOf(v.End) == w.off)
}

// pma is a range of addresses whose pages are there.
type pma struct {
	usermem.Range
	file memmap.File
	off  uint64 // of Start in file
	prot platform.Prot
	cow  bool // shared with somebody: copy before writing
	// private is set for pages that belong to the address space alone (anonymous
	// or copied), clear for pages of the VMA's object.
	private bool
	// own is set for private pages that are not inherited by fork(2).
	own bool
}

func (p *pma) bounds() usermem.Range { return p.Range }

func (p *pma) fileRange() memmap.Range {
	return memmap.Range{Start: p.off, End: p.off + uint64(p.Len())}
}

// sub returns the part of p in r, as a new pma.
func (p *pma) sub(r usermem.Range) *pma {
	q := *p
	q.Range = p.Intersect(r)
	q.off += uint64(q.Start - p.Start)
	return &q
}

// hostProt is what the host mapping of p allows.
func (p *pma) hostProt() platform.Prot {
	if p.cow {
		return p.prot &^ platform.Write
	}
	return p.prot
}

// allows reports whether the access can be done to p's pages as they are.
func (p *pma) allows(at usermem.Access) bool {
	return (!at.Read || p.prot != 0) && (!at.Write || p.prot&platform.Write != 0 && !p.cow) &&
		(!at.Exec || p.prot&platform.Exec != 0)
}

// permits reports whether the protection of v permits the access.
func (v *vma) permits(at usermem.Access) bool {
	// On x86 every mapping with any permission can be read.
	return (!at.Read || v.prot != 0) && (!at.Write || v.prot&platform.Write != 0) &&
		(!at.Exec || v.prot&platform.Exec != 0)
}
