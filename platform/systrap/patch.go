package systrap

import (
	"bytes"
	"encoding/binary"
	"maps"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"ringfort/platform"
	"ringfort/sentry/arch"
)

// A patched call site is JMP through an absolute 32-bit address, seven bytes:
// FF 24 E5 disp32; without an index any scale will do, and that of E5 makes the
// third byte IN, which is a fault: whoever jumps to what was behind the
// SYSCALL at the beginning of a site is found out. The jump leads over the table
// of jump targets to the site's trampoline, and that to stubEnter.
const (
	// tableAddr is chosen so that the third byte of every disp32 is 06, which is no
	// instruction in 64-bit mode: whoever jumps to the SYSCALL that was the end
	// of the site gets SIGILL, and the call is made for it all the same.
	tableAddr = 0x60000
	tableSize = 0x4000
	trampAddr = 0x70000
	trampLen  = 64
	maxSites  = tableSize / 8
	trampSize = maxSites * trampLen
	setSize   = tableSize + trampSize
	jumpLen   = 7
	// maxKnown is how many sites are known of files: they have the same numbers, below, in every lineage, so that one
	// patched page fits all.
	maxKnown = maxSites / 2
)

// hotAfter is how often a site traps before it is worth patching.
const hotAfter = 16

// site is a patched call site.
type site struct {
	addr   uintptr // of the first byte replaced
	kind   siteKind
	before [8]byte
	tramp  uintptr
}

// siteKind is what the code at a site looks like.
type siteKind uint8

const (
	// MOV $nr, AX; SYSCALL: seven bytes.
	movSyscall siteKind = iota
	// SYSCALL; CMPQ AX, $imm32: eight bytes.
	syscallCmp
	// LEAQ disp32(…), reg; SYSCALL: of these nine bytes only the LEAQ is replaced. Compilers put it behind the MOV.
	leaSyscall
)

// Offsets in a trampoline of a syscallCmp.
const (
	cmpContinue = 24 // where the call returns to: the displaced CMPQ
	cmpJump     = 30 // the jump back
)

// len is how many bytes of code are replaced.
func (s *site) len() uintptr {
	if s.kind == syscallCmp {
		return 8
	}
	return 7
}

// middle is where the second of the instructions replaced began, 0 if there is but one.
func (s *site) middle() uintptr {
	switch s.kind {
	case movSyscall:
		return 5
	case syscallCmp:
		return 2
	}
	return 0
}

// syscall returns the address of the SYSCALL instruction.
func (s *site) syscall() uintptr {
	switch s.kind {
	case movSyscall:
		return s.addr + 5
	case leaSyscall:
		return s.addr + 7
	}
	return s.addr
}

// lineage is the table and trampolines that a process shares with those it
// was forked from and has forked. They are only ever added to.
type lineage struct {
	k     *keeper
	index uint32 // in keeper.patches
	users atomic.Int32

	mu    sync.Mutex
	sites []*site          // by their number, less maxKnown
	known map[uint32]*site // those below, by number
}

func (l *lineage) mem() unsafe.Pointer { return unsafe.Add(l.k.patchMem, uintptr(l.index)*setSize) }

// patches is what is patched in one address space.
type patches struct {
	l *lineage
	// at has the sites by their first byte; inside by the addresses between the
	// first byte and the end where a thread may stand.
	at, inside map[uintptr]*site
	// traps counts traps by the address behind the SYSCALL; what cannot be patched
	// has a count that never becomes hot.
	traps map[uintptr]uint8
	off   bool // the application uses GS
}

const neverHot = 255

// trapped counts a trap at a site and returns whether it is the first (SiteNew), or the site is worth patching (SiteHot).
func (s *space) trapped(rip uintptr) platform.EventFlags {
	s.patchMu.Lock()
	defer s.patchMu.Unlock()
	p := &s.patches
	if p.off {
		return 0
	}
	if p.traps == nil {
		p.traps = make(map[uintptr]uint8)
	}
	n := p.traps[rip]
	if n == neverHot {
		return 0
	}
	if n < hotAfter {
		if len(p.traps) < 4*maxSites {
			p.traps[rip] = n + 1
		}
		if n > 0 {
			return 0
		}
		return platform.SiteNew
	}
	return platform.SiteHot
}

// PlanPatch implements platform.Patcher.
func (s *space) PlanPatch(cs *platform.CallSite, write func(platform.Patch) error) {
	s.patchMu.Lock()
	defer s.patchMu.Unlock()
	// Threads that are about to run wait until we are through; if one runs, it may
	// stand in the very bytes, and another time will do.
	s.patching.Store(true)
	defer s.endPatching()
	if !s.quiet() {
		return
	}
	p := &s.patches
	st, ok := plan(cs)
	if !ok || p.off || p.traps[cs.End] == neverHot {
		p.traps[cs.End] = neverHot
		return
	}
	p.traps[cs.End] = neverHot
	if err := s.addSite(st); err != nil {
		return
	}
	if write(platform.Patch{Addr: st.addr, Bytes: st.jump((st.tramp - trampAddr) / trampLen)}) != nil {
		return
	}
	s.change(func(at, inside map[uintptr]*site) {
		st.enterIn(at, inside)
	})
}

func (s *space) endPatching() { s.patching.Store(false) }

// jump returns the code that takes the place of a site with number i.
func (s *site) jump(i uintptr) []byte {
	b := bytes.Repeat([]byte{0x90}, int(s.len())) // nop
	copy(b, []byte{0xff, 0x24, 0xe5})
	binary.LittleEndian.PutUint32(b[3:], uint32(tableAddr+8*i))
	return b
}

// addSite gives st a trampoline, an old one if it fits.
func (s *space) addSite(st *site) error {
	if err := s.needLineage(); err != nil {
		return err
	}
	l := s.patches.l
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.sites {
		if o.addr == st.addr && o.kind == st.kind && o.before == st.before {
			st.tramp = o.tramp
			return nil
		}
	}
	if len(l.sites) == maxSites-maxKnown {
		return unix.ENOSPC
	}
	l.lead(maxKnown+uintptr(len(l.sites)), st)
	l.sites = append(l.sites, st)
	return nil
}

// needLineage gives s a lineage if it has none. s.patchMu is held.
func (s *space) needLineage() error {
	if s.patches.l != nil {
		return nil
	}
	l, err := s.p.k.newLineage()
	if err == nil {
		s.patches.l = l
		s.mapLineage()
	}
	return err
}

// lead gives st the trampoline with number i. l.mu is held.
func (l *lineage) lead(i uintptr, st *site) {
	st.tramp = trampAddr + i*trampLen
	copy(unsafe.Slice((*byte)(unsafe.Add(l.mem(), tableSize+i*trampLen)), trampLen), st.trampoline())
	*(*uint64)(unsafe.Add(l.mem(), 8*i)) = uint64(st.tramp)
}

// numbered returns the site with number i, nil if there is none.
func (l *lineage) numbered(i uint64) *site {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i < maxKnown {
		return l.known[uint32(i)]
	}
	if i -= maxKnown; i < uint64(len(l.sites)) {
		return l.sites[i]
	}
	return nil
}

// trampoline returns the machine code that leads from the site to stubEnter
// and, where an instruction was displaced, back.
func (s *site) trampoline() []byte {
	le := binary.LittleEndian
	enter := func(b []byte, back uintptr) []byte {
		b = le.AppendUint64(append(b, 0x48, 0xb9), uint64(back))       // mov $back, %rcx
		b = le.AppendUint64(append(b, 0x49, 0xbb), uint64(stub.enter)) // mov $enter, %r11
		return append(b, 0x41, 0xff, 0xe3)                             // jmp *%r11
	}
	switch s.kind {
	case movSyscall:
		return enter(append([]byte(nil), s.before[:5]...), s.addr+7)
	case leaSyscall:
		return enter(s.lea(), s.addr+9)
	}
	b := enter(nil, s.tramp+cmpContinue)
	b = append(b, 0xcc)                   // up to cmpContinue
	b = append(b, s.before[2:8]...)       // cmp $imm32, %rax
	b = append(b, 0xff, 0x25, 0, 0, 0, 0) // jmp *0(%rip)
	return le.AppendUint64(b, uint64(s.addr+8))
}

// lea returns what does anywhere what the LEAQ of a site does there.
func (s *site) lea() []byte {
	l := s.before[:7]
	if l[2]>>6 != 0 {
		return bytes.Clone(l)
	}
	to := s.addr + 7 + uintptr(int32(binary.LittleEndian.Uint32(l[3:])))
	mov := []byte{0x48 | l[0]>>2&1, 0xb8 | l[2]>>3&7} // mov $to, reg
	return binary.LittleEndian.AppendUint64(mov, uint64(to))
}

// plan decides how to patch a site.
func plan(cs *platform.CallSite) (*site, bool) {
	end := int(cs.End - cs.Addr) // behind the SYSCALL, in cs.Code
	code := cs.Code
	if end < 2 || end > len(code) || code[end-2] != 0x0f || code[end-1] != 0x05 {
		return nil, false
	}
	if end >= 8 && isMov(code[end-8:end], cs.Regs) {
		s := &site{addr: cs.End - 7, kind: movSyscall}
		copy(s.before[:], code[end-7:end])
		return s, true
	}
	if end >= 10 && isLea(code[end-10:end-2], cs.End-2, cs.Regs) {
		s := &site{addr: cs.End - 9, kind: leaSyscall}
		copy(s.before[:], code[end-9:end-2])
		return s, true
	}
	if end+6 <= len(code) && code[end] == 0x48 && code[end+1] == 0x3d {
		all, from := cs.Around()
		at := int(cs.End - from)
		if at < 0 || at+6 > len(all) || !bytes.Equal(all[at:at+6], code[end:end+6]) || jumpedTo(all, at) {
			return nil, false
		}
		s := &site{addr: cs.End - 2, kind: syscallCmp}
		copy(s.before[:], code[end-2:end+6])
		return s, true
	}
	return nil, false
}

// isMov reports whether the last seven of eight bytes are MOV $nr, AX; SYSCALL, to judge by the registers of a thread that
// has just executed them. The first byte may be a prefix, or the end of what is before.
func isMov(b []byte, regs *arch.Registers) bool {
	nr := uint64(binary.LittleEndian.Uint32(b[2:]))
	if b[1] != 0xb8 || regs.Rax != nr {
		return false
	}
	switch b[0] {
	case 0x41, 0x43, 0x45, 0x47: // MOV $nr, R8
		return regs.R8 != nr
	case 0x42, 0x46, 0x64, 0x65: // as a prefix of MOV they would change nothing, but they would of the jump in its place
		return false
	}
	return true
}

// isLea reports whether the last seven of eight bytes, before address next, are LEAQ disp32(base), reg or LEAQ disp32(RIP),
// reg, to judge by the registers of a thread that has just executed them. Base and reg are others than what a SYSCALL
// changes, and not the same.
func isLea(b []byte, next uintptr, regs *arch.Registers) bool {
	rex, op, modrm := b[1], b[2], b[3]
	if rex&^4 != 0x48 || op != 0x8d || isPrefix(b[0]) {
		return false
	}
	// By their numbers in instructions; nil: none of those.
	low := [8]*uint64{nil, nil, &regs.Rdx, &regs.Rbx, nil, &regs.Rbp, &regs.Rsi, &regs.Rdi}
	to, base := low[modrm>>3&7], low[modrm&7]
	if rex&4 != 0 {
		to = [8]*uint64{&regs.R8, &regs.R9, &regs.R10, nil, &regs.R12, &regs.R13, &regs.R14, &regs.R15}[modrm>>3&7]
	}
	disp := uint64(int32(binary.LittleEndian.Uint32(b[4:])))
	switch mod := modrm >> 6; {
	case to == nil:
		return false
	case mod == 0 && modrm&7 == 5:
		return *to == uint64(next)+disp
	case mod == 2 && base != nil && base != to:
		return *to == *base+disp
	}
	return false
}

// isPrefix reports whether a byte can be a prefix of an instruction (Intel SDM, vol. 2, 2.1.1 and 2.2.1).
func isPrefix(b byte) bool {
	switch b {
	case 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3:
		return true
	}
	return b&0xf0 == 0x40
}

// jumpedTo reports whether any four bytes, or any one byte near by, could be
// the distance of a jump to code[to].
func jumpedTo(code []byte, to int) bool {
	for i := 0; i+4 <= len(code); i++ {
		if i+4+int(int32(binary.LittleEndian.Uint32(code[i:]))) == to {
			return true
		}
	}
	for i := max(1, to-128); i < min(len(code), to+130); i++ {
		op := code[i-1]
		if i+1+int(int8(code[i])) == to && (op&0xf0 == 0x70 || op == 0xeb || op&0xfc == 0xe0) {
			return true
		}
	}
	return false
}

// mapLineage maps table and trampolines. s.patchMu is held.
func (s *space) mapLineage() {
	l := s.patches.l
	f := platform.HostFile{RO: int32(l.k.patchFile.Fd()), RW: -1}
	off := uint64(l.index) * setSize
	s.Map(tableAddr, tableSize, f, off, platform.Read, false)
	s.Map(trampAddr, trampSize, f, off+tableSize, platform.Read|platform.Exec, false)
}

// DropPatches implements platform.Patcher. Threads may run meanwhile: as long as
// a site stands in the maps those that fault in its middle are helped on, and
// those that faulted earlier try again, for the generation is a new one.
func (s *space) DropPatches(start, end uintptr, restore func(platform.Patch)) {
	if s.patched.Load() == nil {
		return
	}
	s.patchMu.Lock()
	defer s.patchMu.Unlock()
	p := &s.patches
	var hit []*site
	for _, st := range p.at {
		if st.addr < end && st.addr+st.len() > start {
			hit = append(hit, st)
			restore(platform.Patch{Addr: st.addr, Bytes: bytes.Clone(st.before[:st.len()])})
		}
	}
	if len(hit) == 0 {
		return
	}
	// As long as threads may meet a patch they have to be helped on. An error is the end of the process.
	_ = s.Flush()
	s.change(func(at, inside map[uintptr]*site) {
		for _, st := range hit {
			delete(at, st.addr)
			if m := st.middle(); m > 0 {
				delete(inside, st.addr+m)
			}
			delete(p.traps, st.syscall()+2)
		}
	})
}

// enterIn puts the site into maps of sites.
func (s *site) enterIn(at, inside map[uintptr]*site) {
	at[s.addr] = s
	if m := s.middle(); m > 0 {
		inside[s.addr+m] = s
	}
}

// change replaces the maps of sites by changed copies: running threads look at
// the old ones, and a fork may share them. s.patchMu is held.
func (s *space) change(edit func(at, inside map[uintptr]*site)) {
	p := &s.patches
	at, inside := maps.Clone(p.at), maps.Clone(p.inside)
	if at == nil {
		at, inside = make(map[uintptr]*site), make(map[uintptr]*site)
	}
	edit(at, inside)
	p.at, p.inside = at, inside
	s.patched.Store(&inside)
	s.generation.Add(1)
}

// StopPatching implements platform.Patcher.
func (s *space) StopPatching() {
	s.patchMu.Lock()
	s.patches.off = true
	s.patchMu.Unlock()
}

// InheritPatches implements platform.Patcher.
func (s *space) InheritPatches(from platform.AddressSpace) {
	o, ok := from.(*space)
	if !ok {
		return
	}
	o.patchMu.Lock()
	defer o.patchMu.Unlock()
	p, q := &s.patches, &o.patches
	if q.l == nil {
		return
	}
	p.l, p.at, p.inside, p.off = q.l, q.at, q.inside, q.off
	p.traps = maps.Clone(q.traps)
	p.l.users.Add(1)
	s.patched.Store(o.patched.Load())
	s.mapLineage()
}

// enterAt returns where a thread that is to go on at rip has to go on: inside
// a patched site nothing of the old code is left.
func (s *space) enterAt(rip uint64) uint64 {
	inside := s.patched.Load()
	if inside == nil {
		return rip
	}
	st := (*inside)[uintptr(rip)]
	if st == nil {
		return rip
	}
	if st.kind == movSyscall {
		return uint64(st.tramp + 5) // behind the MOV
	}
	return uint64(st.tramp + cmpContinue)
}

// leftAt is the reverse for a thread found at rip: the address in the
// application's own code.
func (s *space) leftAt(rip uint64) uint64 {
	if rip < trampAddr || rip >= trampAddr+trampSize {
		return rip
	}
	l := s.patches.l // set once, before any thread can be here
	if l == nil {
		return rip
	}
	i, off := (rip-trampAddr)/trampLen, (rip-trampAddr)%trampLen
	st := l.numbered(i)
	switch {
	case st == nil:
		return rip
	case st.kind != syscallCmp && off == 0:
		return uint64(st.addr)
	case st.kind == syscallCmp && off >= cmpJump:
		return uint64(st.addr + 8)
	case st.kind == syscallCmp && off >= cmpContinue:
		return uint64(st.addr + 2)
	}
	return uint64(st.syscall())
}

// middleAt reports whether rip is in the middle of a patched site. Something
// jumped there, and found an instruction that is a fault.
func (s *space) middleAt(rip uint64, sig unix.Signal, trapno uint64) bool {
	// The numbers of the traps are those of the Intel SDM, vol. 3, 6.15.
	const protectionFault = 13
	if sig != unix.SIGILL && (sig != unix.SIGSEGV || trapno != protectionFault) {
		return false
	}
	inside := s.patched.Load()
	return inside != nil && (*inside)[uintptr(rip)] != nil
}

// newLineage returns an empty lineage with one user.
func (k *keeper) newLineage() (*lineage, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	i, _, ok := k.freeSets.take()
	if !ok {
		return nil, unix.EAGAIN
	}
	l := &lineage{k: k, index: i} // clear, see release
	l.users.Store(1)
	return l, nil
}

// release is called when the host process of a user is gone.
func (l *lineage) release() {
	if l.users.Add(-1) != 0 {
		return
	}
	l.clear(maxKnown, uintptr(len(l.sites)))
	for i := range l.known {
		l.clear(uintptr(i), 1)
	}
	l.k.mu.Lock()
	l.k.freeSets.give(l.index)
	l.k.mu.Unlock()
}

// clear takes the trampolines of n sites away, from number i on.
func (l *lineage) clear(i, n uintptr) {
	clear(unsafe.Slice((*byte)(unsafe.Add(l.mem(), 8*i)), 8*n))
	clear(unsafe.Slice((*byte)(unsafe.Add(l.mem(), tableSize+i*trampLen)), trampLen*n))
}
