package vdso

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"testing"
)

// at returns the n bytes of an image at an address, failing the test beyond its end.
func at(t *testing.T, image []byte, addr, n uint64) []byte {
	t.Helper()
	if addr+n > uint64(len(image)) {
		t.Fatalf("%#x is beyond the image", addr+n)
	}
	return image[addr : addr+n]
}

func get[T any](t *testing.T, image []byte, addr uint64) (v T) {
	t.Helper()
	if err := binary.Read(bytes.NewReader(at(t, image, addr, uint64(binary.Size(v)))), binary.LittleEndian, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestImage looks the symbols up as the C libraries do, through both hash tables.
func TestImage(t *testing.T) {
	image := Image()
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	if len(image) != PageSize || f.Type != elf.ET_DYN || f.Machine != elf.EM_X86_64 {
		t.Fatalf("%d bytes, %v for %v", len(image), f.Type, f.Machine)
	}
	dyn := map[elf.DynTag]uint64{}
	for _, p := range f.Progs {
		if p.Type != elf.PT_DYNAMIC {
			continue
		}
		for a := p.Vaddr; a < p.Vaddr+p.Memsz; a += 16 {
			d := get[elf.Dyn64](t, image, a)
			dyn[elf.DynTag(d.Tag)] = d.Val
		}
	}
	str := func(off uint32) string {
		b := at(t, image, dyn[elf.DT_STRTAB]+uint64(off), dyn[elf.DT_STRSZ]-uint64(off))
		return string(b[:bytes.IndexByte(b, 0)])
	}
	if s := str(uint32(dyn[elf.DT_SONAME])); s != "linux-vdso.so.1" {
		t.Errorf("soname %q", s)
	}
	sym := func(i uint32) elf.Sym64 { return get[elf.Sym64](t, image, dyn[elf.DT_SYMTAB]+uint64(i)*elf.Sym64Size) }
	word := func(tag elf.DynTag, i uint32) uint32 { return get[uint32](t, image, dyn[tag]+4*uint64(i)) }
	starts := map[uint64]string{}
	for _, name := range functions {
		i := word(elf.DT_HASH, 2)
		for i != 0 && str(sym(i).Name) != name {
			i = word(elf.DT_HASH, 3+i)
		}
		if i == 0 {
			t.Errorf("%s is not in DT_HASH", name)
			continue
		}
		h := uint32(5381)
		for _, c := range []byte(name) {
			h = h*33 + uint32(c)
		}
		g := word(elf.DT_GNU_HASH, 6)
		for ; ; g++ {
			v := word(elf.DT_GNU_HASH, 7+g-1)
			if v|1 == h|1 {
				break
			}
			if v&1 != 0 {
				t.Fatalf("%s is not in DT_GNU_HASH", name)
			}
		}
		s := sym(i)
		if g != i || elf.ST_TYPE(s.Info) != elf.STT_FUNC || s.Shndx == 0 || s.Value%entrySize != 0 || s.Value+s.Size > PageSize {
			t.Errorf("%s: symbol %d or %d: %+v", name, i, g, s)
		}
		if other := starts[s.Value]; other != "" {
			t.Errorf("%s is %s", name, other)
		}
		starts[s.Value] = name
		if v := get[uint16](t, image, dyn[elf.DT_VERSYM]+2*uint64(i)); v != ownVersion {
			t.Errorf("%s has version %d", name, v)
		}
	}
	// The first definition names the object, the second the version; 61765110 is
	// the hash that glibc looks for.
	second := dyn[elf.DT_VERDEF] + uint64(get[uint32](t, image, dyn[elf.DT_VERDEF]+16))
	if hash, name := get[uint32](t, image, second+8), str(get[uint32](t, image, second+20)); hash != 61765110 || name != "LINUX_2.6" {
		t.Errorf("version %q with hash %d", name, hash)
	}
}

// TestCode checks what the copied code must not have: a prologue, which would
// look for a Go stack, before the first jump of the entries.
func TestCode(t *testing.T) {
	b := code()
	if len(b) < len(functions)*entrySize || len(b) > PageSize/2 {
		t.Fatalf("%d bytes of code", len(b))
	}
	const jmpShort, jmpNear = 0xeb, 0xe9
	for i, name := range functions {
		if op := b[i*entrySize]; op != jmpShort && op != jmpNear {
			t.Errorf("%s starts with %#x", name, op)
		}
	}
}
