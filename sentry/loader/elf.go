package loader

import (
	"debug/elf"
	"encoding/binary"
	"math/rand/v2"

	"golang.org/x/sys/unix"

	"ringfort/platform"
	"ringfort/sentry/kernel"
	"ringfort/sentry/memmap"
	"ringfort/sentry/mm"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

// Sizes of ELF-64 structures (ELF-64 object file format, 3 and 8).
const (
	ehdrSize = 64
	phdrSize = 56
	maxPhdrs = 0x10000 / phdrSize // Linux refuses tables beyond 64 KiB
)

// phdr is an ELF program header.
type phdr struct {
	kind, flags                             uint32
	off, vaddr, paddr, filesz, memsz, align uint64
}

// image is a checked ELF file.
type image struct {
	dyn    bool // ET_DYN: may be loaded anywhere
	entry  uint64
	phoff  uint64
	phdrs  []phdr
	interp string
	// execStack is set unless PT_GNU_STACK says the stack is not executable.
	execStack bool
}

// readAt reads from a file.
type readAt func(b []byte, off int64) (int64, error)

// fileReader returns the readAt of an open file.
func fileReader(t *kernel.Task, d *vfs.Description) readAt {
	return func(b []byte, off int64) (int64, error) { return d.ReadAt(t, usermem.BytesSeq(b), off) }
}

// full reads exactly len(b) bytes at off; ENOEXEC if the file is shorter, EINVAL if no file is that long.
func (r readAt) full(b []byte, off uint64) error {
	if int64(off) < 0 {
		return unix.EINVAL
	}
	for len(b) > 0 {
		n, err := r(b, int64(off))
		if err != nil {
			return err
		}
		if n == 0 {
			return unix.ENOEXEC
		}
		b, off = b[n:], off+uint64(n)
	}
	return nil
}

// parse reads the headers of an ELF file.
func parse(r readAt) (*image, error) {
	var h [ehdrSize]byte
	if err := r.full(h[:], 0); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	kind := elf.Type(le.Uint16(h[16:]))
	if string(h[:4]) != elf.ELFMAG || h[4] != byte(elf.ELFCLASS64) || h[5] != byte(elf.ELFDATA2LSB) ||
		le.Uint16(h[18:]) != uint16(elf.EM_X86_64) || kind != elf.ET_EXEC && kind != elf.ET_DYN {
		return nil, unix.ENOEXEC
	}
	im := &image{dyn: kind == elf.ET_DYN, entry: le.Uint64(h[24:]), phoff: le.Uint64(h[32:]), execStack: true}
	n := int(le.Uint16(h[56:]))
	if le.Uint16(h[54:]) != phdrSize || n == 0 || n > maxPhdrs || int64(im.phoff) < 0 {
		return nil, unix.ENOEXEC
	}
	table := make([]byte, n*phdrSize)
	if err := r.full(table, im.phoff); err != nil {
		return nil, err
	}
	for i := range n {
		b := table[i*phdrSize:]
		im.phdrs = append(im.phdrs, phdr{
			kind: le.Uint32(b), flags: le.Uint32(b[4:]), off: le.Uint64(b[8:]), vaddr: le.Uint64(b[16:]),
			paddr: le.Uint64(b[24:]), filesz: le.Uint64(b[32:]), memsz: le.Uint64(b[40:]), align: le.Uint64(b[48:]),
		})
	}
	return im, im.check(r)
}

// check looks at each program header once.
func (im *image) check(r readAt) error {
	last := uint64(0)
	loads := 0
	for i := range im.phdrs {
		p := &im.phdrs[i]
		switch elf.ProgType(p.kind) {
		case elf.PT_LOAD:
			end := p.vaddr + p.memsz
			if p.filesz > p.memsz || end < p.vaddr || int64(p.off+p.filesz) < 0 || end > 1<<47 ||
				p.vaddr&usermem.PageMask != p.off&usermem.PageMask || loads > 0 && p.vaddr < last {
				return unix.ENOEXEC
			}
			last = p.vaddr
			loads++
		case elf.PT_INTERP:
			if im.interp != "" || p.filesz < 2 || p.filesz > 4096 {
				return unix.ENOEXEC
			}
			b := make([]byte, p.filesz)
			if err := r.full(b, p.off); err != nil {
				return err
			}
			if b[len(b)-1] != 0 {
				return unix.ENOEXEC
			}
			im.interp = string(b[:len(b)-1])
		case elf.PT_GNU_STACK:
			im.execStack = elf.ProgFlag(p.flags)&elf.PF_X != 0
		}
	}
	if loads == 0 {
		return unix.ENOEXEC
	}
	return nil
}

// span returns the addresses from the first to the last segment and the
// largest alignment.
func (im *image) span() (start, end, align uint64) {
	start, align = ^uint64(0), usermem.PageSize
	for _, p := range im.phdrs {
		if elf.ProgType(p.kind) != elf.PT_LOAD {
			continue
		}
		start = min(start, p.vaddr&^usermem.PageMask)
		end = max(end, p.vaddr+p.memsz)
		if p.align > align && p.align&(p.align-1) == 0 && p.align <= 1<<30 {
			align = p.align
		}
	}
	return start, end, align
}

// loaded is where an image was mapped.
type loaded struct {
	bias       uint64
	entry      uint64
	phdrs      uint64 // address of the program headers, 0 if not mapped
	start, end uint64
	code, data usermem.Range
	base       uint64 // lowest address
}

// pieBase is where position-independent programs go (Linux ELF_ET_DYN_BASE).
const pieBase = 0x555555554000

// mapImage maps an image into m. Programs that may be loaded anywhere go near
// pieBase, interpreters where mmap puts them.
func mapImage(t *kernel.Task, m *mm.MemoryManager, d *vfs.Description, im *image, isInterp, random bool) (*loaded, error) {
	mapper, ok := d.File().(vfs.Mapper)
	if !ok {
		return nil, unix.ENOEXEC
	}
	obj, err := mapper.Mappable(t, d)
	if err != nil {
		return nil, err
	}
	start, end, align := im.span()
	l := &loaded{}
	if im.dyn {
		if l.bias, err = chooseBias(m, start, end, align, isInterp, random); err != nil {
			return nil, err
		}
	}
	l.start, l.end, l.entry, l.base = l.bias+start, l.bias+end, l.bias+im.entry, l.bias+start
	id := t.NewMappedFile(d)
	defer id.DecRef()
	for i := range im.phdrs {
		p := &im.phdrs[i]
		if elf.ProgType(p.kind) != elf.PT_LOAD {
			continue
		}
		if err := mapSegment(m, obj, id, p, l.bias); err != nil {
			return nil, err
		}
		if im.phoff >= p.off && im.phoff-p.off < p.filesz {
			l.phdrs = l.bias + p.vaddr + (im.phoff - p.off)
		}
		r := usermem.Range{Start: usermem.Addr(l.bias + p.vaddr), End: usermem.Addr(l.bias + p.vaddr + p.filesz)}
		if elf.ProgFlag(p.flags)&elf.PF_X != 0 {
			l.code = r
		} else {
			l.data = r
		}
	}
	return l, nil
}

// chooseBias reserves a place for a position-independent image and returns its load bias.
func chooseBias(m *mm.MemoryManager, start, end, align uint64, isInterp, random bool) (uint64, error) {
	size := end - start
	hint := uint64(0)
	if !isInterp {
		hint = pieBase
		if random {
			hint += rand.Uint64N(1<<28) << usermem.PageShift
		}
	}
	hint = hint &^ (align - 1)
	a, err := m.MMap(mm.MapOpts{Addr: usermem.Addr(hint), Length: size + align, NoReserve: true})
	if err != nil {
		return 0, unix.ENOMEM
	}
	if err := m.Munmap(a, size+align); err != nil {
		return 0, err
	}
	aligned := (uint64(a) + align - 1) &^ (align - 1)
	return aligned - start&^(align-1), nil
}

func protOf(flags uint32) (p platform.Prot) {
	f := elf.ProgFlag(flags)
	if f&elf.PF_R != 0 {
		p |= platform.Read
	}
	if f&elf.PF_W != 0 {
		p |= platform.Write
	}
	if f&elf.PF_X != 0 {
		p |= platform.Exec
	}
	return p
}

const anyProt = platform.Read | platform.Write | platform.Exec

// mapSegment maps one PT_LOAD segment: its part of the file and the zeroes behind.
func mapSegment(m *mm.MemoryManager, obj memmap.Mappable, id *kernel.MappedFile, p *phdr, bias uint64) error {
	prot := protOf(p.flags)
	start := usermem.Addr(p.vaddr+bias) &^ usermem.PageMask
	fileEnd := usermem.Addr(p.vaddr + bias + p.filesz)
	fileTop, ok1 := fileEnd.RoundUp()
	memTop, ok2 := usermem.Addr(p.vaddr + bias + p.memsz).RoundUp()
	if !ok1 || !ok2 {
		return unix.ENOEXEC
	}
	if p.filesz > 0 {
		id.IncRef()
		_, err := m.MMap(mm.MapOpts{
			Addr: start, Length: uint64(fileTop - start), Fixed: true, Prot: prot, MaxProt: anyProt,
			Obj: obj, Off: p.off &^ usermem.PageMask, ID: id, Populate: certain(obj, prot, fileTop-start),
		})
		if err != nil {
			id.DecRef()
			return mapError(err)
		}
	} else {
		fileTop = start
	}
	if memTop > fileTop {
		_, err := m.MMap(mm.MapOpts{Addr: fileTop, Length: uint64(memTop - fileTop), Fixed: true, Prot: prot, MaxProt: anyProt})
		if err != nil {
			return mapError(err)
		}
	}
	// The last page of the file part goes on with zeroes.
	if p.memsz > p.filesz && fileEnd < fileTop && prot&platform.Write != 0 && p.filesz > 0 {
		if _, err := m.Zero(fileEnd, int(fileTop-fileEnd)); err != nil {
			return unix.ENOEXEC
		}
	}
	return nil
}

// smallData is how much writable data a program is taken to write all over as it starts, in bytes.
const smallData = 8 * usermem.PageSize

// certain reports whether n bytes of a segment are mapped before the program asks for them, which it is sure to do: with
// all else that is to be mapped this costs a tenth of a fault.
func certain(obj memmap.Mappable, prot platform.Prot, n usermem.Addr) bool {
	_, ready := obj.(memmap.Ready)
	return ready && (prot&platform.Write == 0 || n <= smallData)
}

// mapError makes an errno of mmap one of execve.
func mapError(err error) error {
	if err == unix.EPERM || err == unix.EINVAL {
		return unix.ENOEXEC
	}
	return err
}
