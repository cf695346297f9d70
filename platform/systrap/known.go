package systrap

import "ringfort/platform"

// Sites of files that many programs run through are patched from the start, in pages that all address spaces share. What is
// different in each is where the trampolines lead; their numbers are not.

// PlanKnown implements platform.Patcher.
func (s *space) PlanKnown(cs *platform.CallSite) (platform.KnownSite, bool) {
	st, ok := plan(cs)
	if !ok || st.kind == leaSyscall { // these are hot in few programs, and each page of them takes a mapping in all
		return platform.KnownSite{}, false
	}
	k := s.p.k
	k.mu.Lock()
	i, _, ok := k.freeKnown.take()
	k.mu.Unlock()
	return platform.KnownSite{
		Number: i, Kind: uint8(st.kind), Before: st.before, Patch: st.jump(uintptr(i)), Back: int(cs.End - st.addr),
	}, ok
}

// Adopt implements platform.Patcher.
func (s *space) Adopt(sites []platform.KnownSite, ends []uintptr) bool {
	s.patchMu.Lock()
	defer s.patchMu.Unlock()
	if s.patches.off || s.needLineage() != nil {
		return false
	}
	list, ok := s.patches.l.adopt(sites, ends)
	if !ok {
		return false
	}
	s.change(func(at, inside map[uintptr]*site) {
		for _, st := range list {
			st.enterIn(at, inside)
		}
	})
	return true
}

// adopt gives sites their trampolines, unless one of them has it for another place.
func (l *lineage) adopt(sites []platform.KnownSite, ends []uintptr) (list []*site, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range sites {
		k := &sites[i]
		st := &site{addr: ends[i] - uintptr(k.Back), kind: siteKind(k.Kind), before: k.Before}
		if old := l.known[k.Number]; old != nil && old.addr != st.addr {
			return nil, false
		}
		list = append(list, st)
	}
	if l.known == nil {
		l.known = make(map[uint32]*site)
	}
	for i, st := range list {
		n := sites[i].Number
		if old := l.known[n]; old != nil {
			list[i] = old
			continue
		}
		l.lead(uintptr(n), st)
		l.known[n] = st
	}
	return list, true
}
