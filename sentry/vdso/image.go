package vdso

//lint:file-ignore U1000 the assembly names the constants

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"

	"ringfort/sentry/ktime"
)

// For text_amd64.s.
const (
	offSeq    = ktime.OffSeq
	offClocks = ktime.OffClocks
	offBase   = ktime.OffBase
	offLimit  = ktime.OffLimit
	offMult   = ktime.OffMult
	offSec    = ktime.OffStart
	offNsec   = ktime.OffStart + 8
	shift     = ktime.Shift
	numClocks = ktime.NumClocks

	// Clocks with a resolution of a nanosecond, and those of a clock tick,
	// CONFIG_HZ being 250 as in Linux's default configuration (clock_getres(2)).
	fineClocks = 1<<unix.CLOCK_REALTIME | 1<<unix.CLOCK_MONOTONIC | 1<<unix.CLOCK_MONOTONIC_RAW |
		1<<unix.CLOCK_BOOTTIME | 1<<unix.CLOCK_TAI
	coarseClocks = 1<<unix.CLOCK_REALTIME_COARSE | 1<<unix.CLOCK_MONOTONIC_COARSE
	tick         = 4000000
)

// PageSize is the size of the image, and of the page of parameters before it.
const PageSize = 4096

// entrySize is the distance between the starts of functions in the code.
const entrySize = 16

// functions are the symbols of the vDSO, in the order of the code.
var functions = []string{"__vdso_clock_gettime", "__vdso_gettimeofday", "__vdso_time", "__vdso_clock_getres", "__vdso_getcpu"}

const (
	soname  = "linux-vdso.so.1"
	version = "LINUX_2.6"
)

// textRange returns where the code stands in our own text.
func textRange() (start, end uintptr)

// code returns the code as bytes.
func code() []byte {
	start, end := textRange()
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&start)), end-start)
}

// object is the image as it grows. The addresses in it count from its start,
// which is also where its only segment lies.
type object struct{ bytes.Buffer }

// add appends data, aligned, and returns its address.
func (o *object) add(align int, data ...any) uint64 {
	for o.Len()%align != 0 {
		o.WriteByte(0)
	}
	at := uint64(o.Len())
	for _, d := range data {
		_ = binary.Write(o, binary.LittleEndian, d) // a Buffer takes everything of fixed size
	}
	return at
}

// names is a string table.
type names struct{ bytes.Buffer }

func (n *names) add(s string) uint32 {
	at := uint32(n.Len())
	n.WriteString(s + "\x00")
	return at
}

// segments is the number of program headers.
const segments = 3

// Image returns the vDSO: an ELF shared object of one page, to be mapped right
// behind a page that starts with ktime.Params (System V ABI, chapters 4 and 5;
// Linux Standard Base Core, "Symbol Versioning").
func Image() []byte {
	var o object
	var str names
	str.WriteByte(0)
	o.Write(make([]byte, binary.Size(elf.Header64{})+segments*binary.Size(elf.Prog64{}))) // filled in below

	text := code()
	syms := []elf.Sym64{{}}
	for i, f := range functions {
		size := entrySize
		if i == len(functions)-1 {
			size = len(text) - i*entrySize // the bodies lie behind
		}
		syms = append(syms, elf.Sym64{Name: str.add(f), Info: elf.ST_INFO(elf.STB_GLOBAL, elf.STT_FUNC), Shndx: 1,
			Value: uint64(i * entrySize), Size: uint64(size)})
	}
	soName, verName := str.add(soname), str.add(version)

	hash := o.add(8, sysvHash(len(syms)))
	gnu := o.add(8, gnuHash(functions))
	versym := o.add(2, versionIndexes(len(syms)))
	verdef := o.add(8, versionDefs(soName, verName))
	strtab := o.add(1, str.Bytes())
	dynEntries := func(symtab uint64) []elf.Dyn64 {
		return []elf.Dyn64{
			{Tag: int64(elf.DT_SONAME), Val: uint64(soName)}, {Tag: int64(elf.DT_HASH), Val: hash},
			{Tag: int64(elf.DT_GNU_HASH), Val: gnu}, {Tag: int64(elf.DT_STRTAB), Val: strtab},
			{Tag: int64(elf.DT_SYMTAB), Val: symtab}, {Tag: int64(elf.DT_STRSZ), Val: uint64(str.Len())},
			{Tag: int64(elf.DT_SYMENT), Val: elf.Sym64Size}, {Tag: int64(elf.DT_VERDEF), Val: verdef},
			{Tag: int64(elf.DT_VERDEFNUM), Val: 2}, {Tag: int64(elf.DT_VERSYM), Val: versym}, {},
		}
	}
	symSize := len(syms) * elf.Sym64Size
	symtab := o.add(8, make([]byte, symSize)) // filled in below
	dyn := o.add(8, dynEntries(symtab))
	dynEnd := uint64(o.Len())
	textAt := (dynEnd + unwindSize + 63) &^ 63
	unwind := o.add(8, unwindTables(dynEnd, textAt, uint64(len(text))))
	unwindEnd := uint64(o.Len())
	textAt = o.add(64, text)
	total := uint64(o.Len())

	head := &object{}
	head.add(1, elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Phoff: uint64(binary.Size(elf.Header64{})), Ehsize: uint16(binary.Size(elf.Header64{})),
		Phentsize: uint16(binary.Size(elf.Prog64{})), Phnum: segments,
	}, [segments]elf.Prog64{
		{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Filesz: total, Memsz: total, Align: PageSize},
		segment(elf.PT_DYNAMIC, dyn, dynEnd),
		segment(elf.PT_GNU_EH_FRAME, unwind, unwindEnd),
	})
	image := make([]byte, PageSize)
	if copy(image, o.Bytes()) < int(total) {
		panic("vdso: larger than a page")
	}
	copy(image, head.Bytes())
	for i := range syms[1:] {
		syms[i+1].Value += textAt
	}
	table := &object{}
	table.add(1, syms)
	copy(image[symtab:], table.Bytes())
	return image
}

func segment(kind elf.ProgType, start, end uint64) elf.Prog64 {
	return elf.Prog64{Type: uint32(kind), Flags: uint32(elf.PF_R), Off: start, Vaddr: start, Paddr: start,
		Filesz: end - start, Memsz: end - start, Align: 8}
}

// sysvHash returns a DT_HASH table with a single bucket.
func sysvHash(syms int) []uint32 {
	t := []uint32{1, uint32(syms), 1, 0}
	for i := 1; i < syms; i++ {
		t = append(t, uint32((i+1)%syms)) // 0 ends the chain
	}
	return t
}

// gnuHash returns a DT_GNU_HASH table with a single bucket and a Bloom filter
// that lets everything through.
func gnuHash(symbols []string) []uint32 {
	const firstSymbol, bloomWords, bloomShift = 1, 1, 6
	t := []uint32{1, firstSymbol, bloomWords, bloomShift, ^uint32(0), ^uint32(0), firstSymbol}
	for i, s := range symbols {
		h := uint32(5381)
		for _, c := range []byte(s) {
			h = h*33 + uint32(c)
		}
		h &^= 1
		if i == len(symbols)-1 {
			h |= 1 // the end of the chain
		}
		t = append(t, h)
	}
	return t
}

// Indexes of the version definitions.
const (
	baseVersion = 1
	ownVersion  = 2
)

// versionIndexes returns the DT_VERSYM table.
func versionIndexes(syms int) []uint16 {
	t := make([]uint16, syms)
	for i := 1; i < syms; i++ {
		t[i] = ownVersion
	}
	return t
}

// versionDefs returns the DT_VERDEF table: the object's own name and the version
// of its symbols.
func versionDefs(soName, verName uint32) []byte {
	type verdef struct { // Elf64_Verdef and the one Elf64_Verdaux behind it
		Version, Flags, Ndx, Cnt uint16
		Hash, Aux, Next          uint32
		Name, NextName           uint32
	}
	const base, size = 1 /* VER_FLG_BASE */, 28
	var b bytes.Buffer
	_ = binary.Write(&b, binary.LittleEndian, []verdef{
		{Version: 1, Flags: base, Ndx: baseVersion, Cnt: 1, Hash: elfHash(soname), Aux: 20, Next: size, Name: soName},
		{Version: 1, Ndx: ownVersion, Cnt: 1, Hash: elfHash(version), Aux: 20, Name: verName},
	})
	return b.Bytes()
}

// elfHash is the hash function of the System V ABI.
func elfHash(s string) (h uint32) {
	for _, c := range []byte(s) {
		h = h<<4 + uint32(c)
		h = (h ^ h>>24&0xf0) & 0x0fffffff
	}
	return h
}
