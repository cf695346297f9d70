package systrap

import (
	"testing"
	"unsafe"

	"ringfort/platform"
)

func TestAdopt(t *testing.T) {
	mem := make([]byte, setSize)
	k := &keeper{patchMem: unsafe.Pointer(&mem[0])}
	l := &lineage{k: k}
	l.users.Store(1)
	entry := func(i int) uint64 { return *(*uint64)(unsafe.Pointer(&mem[8*i])) }
	sites := []platform.KnownSite{{Number: 3, Kind: uint8(movSyscall), Back: 7}, {Number: 9, Kind: uint8(syscallCmp), Back: 2}}
	list, ok := l.adopt(sites, []uintptr{0x1007, 0x2002})
	if !ok || len(list) != 2 || list[0].addr != 0x1000 || list[1].addr != 0x2000 {
		t.Fatalf("adopted %v %v", list, ok)
	}
	if entry(3) != trampAddr+3*trampLen || entry(9) != trampAddr+9*trampLen || entry(4) != 0 {
		t.Errorf("table: %#x %#x %#x", entry(3), entry(9), entry(4))
	}
	if st := l.numbered(3); st != list[0] || l.numbered(4) != nil || l.numbered(maxKnown) != nil {
		t.Errorf("number 3 is %v", st)
	}
	// Again at the same place, and at another, where one site suffices for none to be there.
	if again, ok := l.adopt(sites[:1], []uintptr{0x1007}); !ok || again[0] != list[0] {
		t.Errorf("again: %v %v", again, ok)
	}
	more := []platform.KnownSite{{Number: 5, Kind: uint8(movSyscall), Back: 7}, sites[1]}
	if _, ok := l.adopt(more, []uintptr{0x3007, 0x3002}); ok || entry(5) != 0 {
		t.Errorf("adopted at a second place, table %#x", entry(5))
	}
	l.lead(maxKnown, &site{addr: 0x4000})
	l.sites = append(l.sites, &site{addr: 0x4000})
	l.release()
	for i, b := range mem {
		if b != 0 {
			t.Fatalf("byte %#x is left of a lineage", i)
		}
	}
}
