package systrap

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"ringfort/platform"
)

// titleWords is where in the scratch page the arguments of setTitles go, in words: behind those of confine.
const titleWords = 400

// setTitles tells the host that the command line of the template p, and so of every
// stub, is in its title page. The page is anonymous because /proc/PID/cmdline is
// read from no other kind. Its last byte is not zero, which means that the text is
// one string, up to its end (fs/proc/base.c, get_mm_cmdline). A host that was built
// without CONFIG_CHECKPOINT_RESTORE refuses; then ps shows no command lines.
func (p *process) setTitles(room []uint64) error {
	const flags = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_FIXED
	if err := p.carryOut([]entry{{unix.SYS_MMAP, titleAddr, 0x1000, unix.PROT_READ | unix.PROT_WRITE, flags, noFile, 0}}); err != nil {
		return fmt.Errorf("map the title: %w", err)
	}
	// struct prctl_mm_map: code, data, heap, stack, arguments, environment, auxiliary vector, descriptor of the program.
	const noProgram = 0xffffffff << 32
	copy(room, []uint64{
		codeAddr, codeAddr + codeSize, scratchAddr, scratchAddr + scratchPage, scratchAddr, scratchAddr, areaAddr,
		titleAddr, titleAddr + titleSize, titleAddr + titleSize, titleAddr + titleSize, 0, noProgram,
	})
	p.k.titles = p.carryOut([]entry{{unix.SYS_PRCTL, unix.PR_SET_MM, unix.PR_SET_MM_MAP, scratchAddr + titleWords*8, 13 * 8, 0}}) == nil
	return nil
}

// SetTitle implements platform.Titler. The queue keeps its order, so that the last title stays.
func (s *space) SetTitle(title string) {
	if !s.p.k.titles {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	text := (*[titleSize]byte)(unsafe.Add(s.p.ctl(), ctlSize+scratchText))
	n := copy(text[:titleSize-2], title)
	clear(text[n:])
	binary.NativeEndian.PutUint16(text[titleSize-2:], 1<<8)
	s.queue = append(s.queue, entry{unix.SYS_PREAD64, s.p.k.ctls.Fd(), titleAddr, titleSize, uintptr(s.p.slot)*ctlStride + ctlSize + scratchText})
	s.titled = true
	s.pending.Store(true)
}

// PID implements platform.Titler.
func (s *space) PID() int { return s.p.pid }

var _ platform.Titler = (*space)(nil)
