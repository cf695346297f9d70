package loader

import (
	"math/rand/v2"
	"path"

	"golang.org/x/sys/unix"

	"ringfort/platform"
	"ringfort/sentry/auth"
	"ringfort/sentry/kernel"
	"ringfort/sentry/mm"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

// maxInterps is how many scripts may name scripts as interpreters (execve(2)).
const maxInterps = 5

// Loader implements kernel.Loader.
type Loader struct {
	// HWCap and HWCap2 are AT_HWCAP and AT_HWCAP2 of the host; MinSigStack is
	// AT_MINSIGSTKSZ.
	HWCap, HWCap2, MinSigStack uint64
}

// Load implements kernel.Loader.
func (l *Loader) Load(t *kernel.Task, args *kernel.LoadArgs) (*kernel.Image, error) {
	name := path.Base(args.Path)
	execFn := args.Path
	d := args.File
	d.IncRef()
	defer func() { d.DecRef(t) }()
	for depth := 0; ; depth++ {
		b, err := head(t, d)
		if err != nil {
			return nil, err
		}
		if len(b) < 2 || b[0] != '#' || b[1] != '!' {
			break
		}
		if depth == maxInterps {
			return nil, unix.ELOOP
		}
		if args.CloseOnExec {
			return nil, unix.ENOENT // the interpreter could not open it
		}
		interp, arg, err := script(b)
		if err != nil {
			return nil, err
		}
		argv := []string{interp}
		if arg != "" {
			argv = append(argv, arg)
		}
		argv = append(argv, args.Path)
		if len(args.Argv) > 0 {
			argv = append(argv, args.Argv[1:]...)
		}
		next, err := vfs.OpenExec(t, vfs.Path{}, interp, 0)
		if err != nil {
			return nil, err
		}
		d.DecRef(t)
		d = next
		args = &kernel.LoadArgs{Path: interp, File: d, Argv: argv, Envv: args.Envv}
	}
	im, err := l.loadELF(t, d, args, execFn)
	if err != nil {
		return nil, err
	}
	im.Name = name
	return im, nil
}

// loadELF loads the ELF file d with its interpreter into a fresh address space.
func (l *Loader) loadELF(t *kernel.Task, d *vfs.Description, args *kernel.LoadArgs, execFn string) (_ *kernel.Image, err error) {
	im, err := parse(fileReader(t, d))
	if err != nil {
		return nil, err
	}
	k := t.Kernel()
	minAddr, maxAddr := t.Platform().UserAddresses()
	random := !t.NoRandomize()
	m, err := mm.New(t.Platform(), k.MemoryFile(), mm.NewLayout(minAddr, maxAddr, t.Limits().Get(unix.RLIMIT_STACK).Cur, random))
	if err != nil {
		return nil, unix.ENOMEM
	}
	m.LimitBy(t.Container().MemoryLimit())
	defer func() {
		if err != nil {
			m.DecUsers()
		}
	}()
	prog, err := mapImage(t, m, d, im, false, random)
	if err != nil {
		return nil, err
	}
	brk := usermem.Addr(prog.end)
	if random {
		brk += usermem.Addr(rand.Uint64N(0x2000)) << usermem.PageShift
	}
	brk, _ = brk.RoundUp()
	m.SetBrk(brk)
	entry, base := prog.entry, uint64(0)
	if im.interp != "" {
		in, err := l.loadInterp(t, m, im.interp, random)
		if err != nil {
			return nil, err
		}
		entry, base = in.entry, in.base
	}
	if err := mapVDSO(k, m); err != nil {
		return nil, err
	}
	creds, secure, err := execCreds(t, d)
	if err != nil {
		return nil, err
	}
	auxv := l.auxv(t, m, im, prog, base, creds, secure)
	sp, err := buildStack(t, m, args, execFn, auxv, im.execStack)
	if err != nil {
		return nil, err
	}
	id := t.NewMappedFile(d)
	m.SetInfo(func(i *mm.Info) {
		i.CodeStart, i.CodeEnd = prog.code.Start, prog.code.End
		i.DataStart, i.DataEnd = prog.data.Start, prog.data.End
		i.Exe = id
	})
	d.IncRef()
	return &kernel.Image{MM: m, Entry: uintptr(entry), Stack: uintptr(sp), File: d, Creds: creds, Secure: secure}, nil
}

// mapVDSO maps the vDSO behind the page it reads (vdso(7)). Every program looks
// into it as it starts, so the pages are there from the start.
func mapVDSO(k *kernel.Kernel, m *mm.MemoryManager) error {
	pages := []struct {
		name          string
		prot, maxProt platform.Prot
	}{
		{"[vvar]", platform.Read, platform.Read},
		{"[vdso]", platform.Read | platform.Exec, anyProt},
	}
	at, err := m.MMap(mm.MapOpts{Length: uint64(len(pages)) * usermem.PageSize, NoReserve: true})
	if err != nil {
		return err
	}
	for i, p := range pages {
		off := uint64(i) * usermem.PageSize
		if _, err := m.MMap(mm.MapOpts{
			Addr: at + usermem.Addr(off), Length: usermem.PageSize, Fixed: true, Populate: true, Prot: p.prot, MaxProt: p.maxProt,
			Obj: k.VDSO(), Off: off, Name: p.name,
		}); err != nil {
			return err
		}
	}
	m.SetInfo(func(i *mm.Info) { i.VDSO = at + usermem.PageSize })
	return nil
}

// loadInterp maps the dynamic loader a program names.
func (l *Loader) loadInterp(t *kernel.Task, m *mm.MemoryManager, name string, random bool) (*loaded, error) {
	d, err := vfs.OpenExec(t, vfs.Path{}, name, 0)
	if err != nil {
		return nil, err
	}
	defer d.DecRef(t)
	im, err := parse(fileReader(t, d))
	if err == unix.ENOEXEC {
		err = unix.ELIBBAD
	}
	if err != nil {
		return nil, err
	}
	return mapImage(t, m, d, im, true, random)
}

func (l *Loader) auxv(t *kernel.Task, m *mm.MemoryManager, im *image, prog *loaded, base uint64, c *auth.Credentials, secure bool) []aux {
	sec := uint64(0)
	if secure {
		sec = 1
	}
	ns := c.UserNS
	v := []aux{
		{atMinSigStk, l.MinSigStack}, {atHWCap, l.HWCap}, {atPagesz, usermem.PageSize}, {atClkTck, 100},
		{atPhdr, prog.phdrs}, {atPhent, phdrSize}, {atPhnum, uint64(len(im.phdrs))}, {atBase, base}, {atFlags, 0},
		{atEntry, prog.entry}, {atUID, uint64(ns.UID(c.RUID))}, {atEUID, uint64(ns.UID(c.EUID))},
		{atGID, uint64(ns.GID(c.RGID))}, {atEGID, uint64(ns.GID(c.EGID))}, {atSecure, sec}, {atHWCap2, l.HWCap2},
	}
	if vdso := m.GetInfo().VDSO; vdso != 0 {
		v = append(v, aux{atSysinfo, uint64(vdso)})
	}
	return v
}
