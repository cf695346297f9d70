package proc

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
	"ringfort/platform"
	"ringfort/sentry/fs/fsutil"
	"ringfort/sentry/kernel"
	"ringfort/sentry/mm"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

// maxArgs bounds what cmdline and environ show.
const maxArgs = 2 << 20

func (o dirOf) cmdline(vfs.Caller) (string, error) { return string(o.t.Cmdline(maxArgs)), nil }
func (o dirOf) environ(vfs.Caller) (string, error) { return string(o.t.Environ(maxArgs)), nil }

func (o dirOf) auxv(vfs.Caller) (s string, err error) {
	withMM(o.t, func(m *mm.MemoryManager) { s = string(m.GetInfo().Auxv) })
	return s, nil
}

func protString(v *mm.Mapping) string {
	b := []byte("---p")
	if v.Prot&platform.Read != 0 {
		b[0] = 'r'
	}
	if v.Prot&platform.Write != 0 {
		b[1] = 'w'
	}
	if v.Prot&platform.Exec != 0 {
		b[2] = 'x'
	}
	if v.Shared {
		b[3] = 's'
	}
	return string(b)
}

// mapsLine writes a mapping as maps and smaps begin it.
func mapsLine(b *strings.Builder, v *mm.Mapping) {
	n, _ := fmt.Fprintf(b, "%08x-%08x %s %08x %02x:%02x %d ", uint64(v.Start), uint64(v.End), protString(v), v.Off,
		unix.Major(v.Dev), unix.Minor(v.Dev), v.Ino)
	if v.Name != "" {
		for ; n < 73; n++ { // the column proc(5) shows names in
			b.WriteByte(' ')
		}
		b.WriteString(strings.ReplaceAll(v.Name, "\n", `\012`))
	}
	b.WriteByte('\n')
}

func (o dirOf) maps(c vfs.Caller) (string, error) {
	var b strings.Builder
	withMM(o.t, func(m *mm.MemoryManager) {
		list := m.Maps(c)
		for i := range list {
			mapsLine(&b, &list[i])
		}
	})
	return b.String(), nil
}

// sizes writes the rows of smaps. What is shared with another address space is not told from what could be.
func sizes(b *strings.Builder, v *mm.Mapping) {
	shared := v.RSS - v.Private
	for _, r := range [...]struct {
		name string
		n    uint64
	}{
		{"Rss", v.RSS}, {"Pss", v.RSS}, {"Pss_Dirty", v.Private}, {"Shared_Clean", shared}, {"Shared_Dirty", 0}, {"Private_Clean", 0},
		{"Private_Dirty", v.Private}, {"Referenced", v.RSS}, {"Anonymous", v.Private}, {"KSM", 0}, {"LazyFree", 0}, {"AnonHugePages", 0},
		{"ShmemPmdMapped", 0}, {"FilePmdMapped", 0}, {"Shared_Hugetlb", 0}, {"Private_Hugetlb", 0}, {"Swap", 0}, {"SwapPss", 0}, {"Locked", lockedBytes(v)},
	} {
		fmt.Fprintf(b, "%-16s%8d kB\n", r.name+":", r.n>>10)
	}
}

func lockedBytes(v *mm.Mapping) uint64 {
	if v.Locked {
		return v.RSS
	}
	return 0
}

// vmFlags are the two-letter codes of smaps.
func vmFlags(v *mm.Mapping) string {
	var s []string
	for _, f := range [...]struct {
		on   bool
		code string
	}{
		{v.Prot&platform.Read != 0, "rd"}, {v.Prot&platform.Write != 0, "wr"}, {v.Prot&platform.Exec != 0, "ex"}, {v.Shared, "sh"},
		{v.MayRead, "mr"}, {v.MayWrite, "mw"}, {v.MayExec, "me"}, {v.GrowsDown, "gd"}, {v.Locked, "lo"}, {v.NoFork, "dc"},
		{v.NoReserve, "nr"}, {v.WipeFork, "wf"},
	} {
		if f.on {
			s = append(s, f.code)
		}
	}
	return strings.Join(s, " ")
}

func (o dirOf) smaps(c vfs.Caller) (string, error) {
	var b strings.Builder
	withMM(o.t, func(m *mm.MemoryManager) {
		list := m.Maps(c)
		for i := range list {
			v := &list[i]
			mapsLine(&b, v)
			fmt.Fprintf(&b, "Size:           %8d kB\nKernelPageSize:        4 kB\nMMUPageSize:           4 kB\n", v.Len()>>10)
			sizes(&b, v)
			fmt.Fprintf(&b, "THPeligible:           0\nVmFlags: %s \n", vmFlags(v))
		}
	})
	return b.String(), nil
}

func (o dirOf) smapsRollup(c vfs.Caller) (string, error) {
	var b strings.Builder
	withMM(o.t, func(m *mm.MemoryManager) {
		list := m.Maps(c)
		if len(list) == 0 {
			return
		}
		all := mm.Mapping{Range: usermem.Range{Start: list[0].Start, End: list[len(list)-1].End}, Name: "[rollup]"}
		for i := range list {
			all.RSS += list[i].RSS
			all.Private += list[i].Private
		}
		mapsLine(&b, &all)
		sizes(&b, &all)
	})
	return b.String(), nil
}

// memNode is /proc/PID/mem: the address space as a file.
type memNode struct {
	fsutil.Node
	t *kernel.Task
}

func (o dirOf) mem(c vfs.Caller) vfs.Inode {
	n := &memNode{t: o.t}
	n.Init(&o.SB, o.NextIno(), unix.S_IFREG|0600, 0, 0)
	o.node(&n.Node)
	return n
}

// Open keeps the address space the process has now; it is not kept alive by that.
func (n *memNode) Open(c vfs.Caller, _ vfs.Path, _ uint32) (vfs.File, error) {
	if err := mayTrace(c, n.t); err != nil {
		return nil, err
	}
	m := n.t.MM()
	if m == nil {
		return nil, unix.EIO
	}
	return &memFile{m: m}, nil
}

type memFile struct {
	vfs.FileBase
	m *mm.MemoryManager
}

// memChunk is how much is copied between two address spaces at once.
const memChunk = 64 << 10

func (f *memFile) Read(_ vfs.Caller, _ *vfs.Description, dst usermem.Seq, off int64) (int64, error) {
	if !f.m.TryIncUsers() {
		return 0, nil
	}
	defer f.m.DecUsers()
	total := int64(0)
	b := make([]byte, min(dst.Len(), memChunk))
	for dst.Len() > 0 {
		n, err := f.m.CopyInForce(usermem.Addr(off+total), b[:min(len(b), dst.Len())])
		if n == 0 {
			if total == 0 && err != nil {
				return 0, unix.EIO
			}
			break
		}
		k, err := dst.CopyOut(b[:n])
		total += int64(k)
		if err != nil || k < n {
			if total > 0 {
				err = nil
			}
			return total, err
		}
		dst = dst.Drop(k)
	}
	return total, nil
}

func (f *memFile) Write(_ vfs.Caller, _ *vfs.Description, src usermem.Seq, off int64) (int64, int64, error) {
	if !f.m.TryIncUsers() {
		return 0, off, nil
	}
	defer f.m.DecUsers()
	b := make([]byte, min(src.Len(), memChunk))
	n, err := src.CopyIn(b)
	if err != nil {
		return 0, off, err
	}
	k, _ := f.m.CopyOutForce(usermem.Addr(off), b[:n])
	if k == 0 && n > 0 {
		return 0, off, unix.EIO
	}
	return int64(k), off + int64(k), nil
}

// Seek has no end to seek from.
func (f *memFile) Seek(_ vfs.Caller, _ *vfs.Description, off int64, whence int32, cur int64) (int64, error) {
	switch whence {
	case unix.SEEK_CUR:
		off += cur
	case unix.SEEK_SET:
	default:
		return 0, unix.EINVAL
	}
	return off, nil
}
