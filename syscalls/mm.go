package syscalls

import (
	"golang.org/x/sys/unix"

	"ringfort/platform"
	"ringfort/sentry/mm"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

var memoryCalls = []Call{
	{Nr: unix.SYS_MMAP, Name: "mmap", Func: Mmap, Args: []Arg{Ptr, Size, Hex, Hex, FD, Offset}, Level: Partial, Note: "huge pages are accepted and ignored"},
	{Nr: unix.SYS_MUNMAP, Name: "munmap", Func: Munmap, Args: []Arg{Ptr, Size}},
	{Nr: unix.SYS_MPROTECT, Name: "mprotect", Func: Mprotect, Args: []Arg{Ptr, Size, Hex}},
	{Nr: unix.SYS_MREMAP, Name: "mremap", Func: Mremap, Args: []Arg{Ptr, Size, Size, Hex, Ptr}},
	{Nr: unix.SYS_MADVISE, Name: "madvise", Func: Madvise, Args: []Arg{Ptr, Size, Int}, Level: Partial, Note: "paging hints are accepted and ignored"},
	{Nr: unix.SYS_MINCORE, Name: "mincore", Func: Mincore, Args: []Arg{Ptr, Size, Ptr}},
	{Nr: unix.SYS_MSYNC, Name: "msync", Func: Msync, Args: []Arg{Ptr, Size, Hex}},
	{Nr: unix.SYS_MLOCK, Name: "mlock", Func: Mlock, Args: []Arg{Ptr, Size}},
	{Nr: unix.SYS_MLOCK2, Name: "mlock2", Func: Mlock2, Args: []Arg{Ptr, Size, Hex}},
	{Nr: unix.SYS_MUNLOCK, Name: "munlock", Func: Munlock, Args: []Arg{Ptr, Size}},
	{Nr: unix.SYS_MLOCKALL, Name: "mlockall", Func: Mlockall, Args: []Arg{Hex}},
	{Nr: unix.SYS_MUNLOCKALL, Name: "munlockall", Func: Munlockall},
	{Nr: unix.SYS_BRK, Name: "brk", Func: Brk, Args: []Arg{Ptr}},
	{Nr: unix.SYS_PROCESS_VM_READV, Name: "process_vm_readv", Func: ProcessVMReadv, Args: []Arg{Int, Ptr, Int, Ptr, Int, Hex}},
	{Nr: unix.SYS_PROCESS_VM_WRITEV, Name: "process_vm_writev", Func: ProcessVMWritev, Args: []Arg{Int, Ptr, Int, Ptr, Int, Hex}},
}

// Bits of mmap's flags that package unix lacks.
const (
	map32Bit = 0x40
	mapTypes = 0x0f
)

// Mmap is mmap(2).
func Mmap(t *task, a arguments) (uintptr, error) {
	length, prot, flags := a[1].Size(), a[2].Uint(), a[3].Uint()
	if length == 0 {
		return 0, unix.EINVAL
	}
	opts := mm.MapOpts{
		Addr: addr(a[0].Pointer()), Length: length, Prot: toProt(prot), MaxProt: toProt(7), Limits: t.Limits(),
		Fixed: flags&(unix.MAP_FIXED|unix.MAP_FIXED_NOREPLACE) != 0, NoReplace: flags&unix.MAP_FIXED_NOREPLACE != 0,
		Low32: flags&map32Bit != 0, GrowsDown: flags&unix.MAP_GROWSDOWN != 0, NoReserve: flags&unix.MAP_NORESERVE != 0,
		Stack:  flags&unix.MAP_STACK != 0,
		Locked: flags&unix.MAP_LOCKED != 0, Populate: flags&(unix.MAP_POPULATE|unix.MAP_LOCKED) != 0 && flags&unix.MAP_NONBLOCK == 0,
		Off: a[5].Uint64(),
	}
	switch flags & mapTypes {
	case unix.MAP_PRIVATE:
	case unix.MAP_SHARED, unix.MAP_SHARED_VALIDATE:
		opts.Shared = true
	default:
		return 0, unix.EINVAL
	}
	if opts.Off&usermem.PageMask != 0 {
		return 0, unix.EINVAL
	}
	if flags&unix.MAP_ANONYMOUS != 0 {
		return mmapAnonymous(t, opts)
	}
	return mmapFile(t, opts, a[4].Int())
}

func toProt(p uint32) platform.Prot { return platform.Prot(p & 7) }

func mmapAnonymous(t *task, opts mm.MapOpts) (uintptr, error) {
	opts.Off = 0
	if !opts.Shared {
		p, err := t.MM().MMap(opts)
		return uintptr(p), err
	}
	if opts.GrowsDown {
		return 0, unix.EINVAL
	}
	s := mm.NewSharedMemory(t.Kernel().MemoryFile(), opts.Length, "/dev/zero", t.Kernel().NewInode())
	defer s.Release()
	opts.Obj, opts.ID = s, s
	p, err := t.MM().MMap(opts)
	return uintptr(p), err
}

func mmapFile(t *task, opts mm.MapOpts, fd int32) (uintptr, error) {
	d := t.GetIOFile(fd)
	if d == nil {
		return 0, unix.EBADF
	}
	defer d.DecRef(t)
	if !d.Readable() || opts.Shared && opts.Prot&platform.Write != 0 && !d.Writable() {
		return 0, unix.EACCES
	}
	if opts.Shared && !d.Writable() {
		opts.MaxProt &^= platform.Write
	}
	if p := d.Path(); !p.IsZero() && p.Mount().Flags()&unix.MS_NOEXEC != 0 {
		if opts.Prot&platform.Exec != 0 {
			return 0, unix.EPERM
		}
		opts.MaxProt &^= platform.Exec
	}
	mapper, ok := d.File().(vfs.Mapper)
	if !ok {
		return 0, unix.ENODEV
	}
	obj, err := mapper.Mappable(t, d)
	if err != nil {
		return 0, err
	}
	if obj == nil { // /dev/zero: anonymous memory
		return mmapAnonymous(t, opts)
	}
	if opts.GrowsDown {
		return 0, unix.EINVAL
	}
	id := t.NewMappedFile(d)
	opts.Obj, opts.ID = obj, id
	p, err := t.MM().MMap(opts)
	if err != nil {
		id.DecRef()
	}
	return uintptr(p), err
}

// Munmap is munmap(2).
func Munmap(t *task, a arguments) (uintptr, error) {
	return 0, t.MM().Munmap(addr(a[0].Pointer()), a[1].Size())
}

// Mprotect is mprotect(2).
func Mprotect(t *task, a arguments) (uintptr, error) {
	const growsDown, growsUp = 0x01000000, 0x02000000
	prot := a[2].Uint()
	if prot&^(7|growsDown|growsUp|8 /* PROT_SEM */) != 0 || prot&(growsDown|growsUp) == growsDown|growsUp {
		return 0, unix.EINVAL
	}
	return 0, t.MM().Mprotect(addr(a[0].Pointer()), a[1].Size(), toProt(prot), prot&growsDown != 0)
}

// Mremap is mremap(2).
func Mremap(t *task, a arguments) (uintptr, error) {
	p, err := t.MM().Mremap(addr(a[0].Pointer()), a[1].Size(), a[2].Size(), a[3].Uint(), addr(a[4].Pointer()), t.Limits())
	return uintptr(p), err
}

// Madvise is madvise(2).
func Madvise(t *task, a arguments) (uintptr, error) {
	return 0, t.MM().Madvise(addr(a[0].Pointer()), a[1].Size(), a[2].Int())
}

// Mincore is mincore(2).
func Mincore(t *task, a arguments) (uintptr, error) {
	start, length := addr(a[0].Pointer()), a[1].Size()
	if start.PageOffset() != 0 {
		return 0, unix.EINVAL
	}
	n, ok := addr(length).RoundUp()
	if end, ok2 := start.AddLength(uint64(n)); !ok || !ok2 || end > t.MM().Layout().Max {
		return 0, unix.ENOMEM
	}
	pages := int(n >> usermem.PageShift)
	vec := make([]byte, 4096)
	out := addr(a[2].Pointer())
	for pages > 0 {
		k := min(pages, len(vec))
		if err := t.MM().Mincore(start, k, vec[:k]); err != nil {
			return 0, err
		}
		if _, err := t.MM().CopyOut(out, vec[:k]); err != nil {
			return 0, err
		}
		pages -= k
		start += addr(k) << usermem.PageShift
		out += addr(k)
	}
	return 0, nil
}

// Msync is msync(2).
func Msync(t *task, a arguments) (uintptr, error) {
	flags := a[2].Int()
	const known = unix.MS_ASYNC | unix.MS_INVALIDATE | unix.MS_SYNC
	if flags&^known != 0 || flags&unix.MS_ASYNC != 0 && flags&unix.MS_SYNC != 0 {
		return 0, unix.EINVAL
	}
	return 0, t.MM().Msync(addr(a[0].Pointer()), a[1].Size(), flags&unix.MS_SYNC != 0, flags&unix.MS_INVALIDATE != 0)
}

func mayLock(t *task) bool { return t.Creds().HasRootCap(unix.CAP_IPC_LOCK) }

// Mlock is mlock(2).
func Mlock(t *task, a arguments) (uintptr, error) {
	return 0, t.MM().Mlock(addr(a[0].Pointer()), a[1].Size(), true, false, t.Limits(), mayLock(t))
}

// Mlock2 is mlock2(2).
func Mlock2(t *task, a arguments) (uintptr, error) {
	if a[2].Uint()&^unix.MLOCK_ONFAULT != 0 {
		return 0, unix.EINVAL
	}
	return 0, t.MM().Mlock(addr(a[0].Pointer()), a[1].Size(), true, a[2].Uint() != 0, t.Limits(), mayLock(t))
}

// Munlock is munlock(2).
func Munlock(t *task, a arguments) (uintptr, error) {
	return 0, t.MM().Mlock(addr(a[0].Pointer()), a[1].Size(), false, false, t.Limits(), true)
}

// Mlockall is mlockall(2).
func Mlockall(t *task, a arguments) (uintptr, error) {
	f := a[0].Uint()
	if f == 0 || f&^(unix.MCL_CURRENT|unix.MCL_FUTURE|unix.MCL_ONFAULT) != 0 || f == unix.MCL_ONFAULT {
		return 0, unix.EINVAL
	}
	return 0, t.MM().MlockAll(true, f&unix.MCL_CURRENT != 0, f&unix.MCL_FUTURE != 0, t.Limits(), mayLock(t))
}

// Munlockall is munlockall(2).
func Munlockall(t *task, _ arguments) (uintptr, error) {
	return 0, t.MM().MlockAll(false, true, false, t.Limits(), true)
}

// Brk is brk(2).
func Brk(t *task, a arguments) (uintptr, error) {
	return uintptr(t.MM().Brk(addr(a[0].Pointer()), t.Limits())), nil
}

// ProcessVMReadv is process_vm_readv(2).
func ProcessVMReadv(t *task, a arguments) (uintptr, error) { return processVM(t, a, false) }

// ProcessVMWritev is process_vm_writev(2).
func ProcessVMWritev(t *task, a arguments) (uintptr, error) { return processVM(t, a, true) }

func processVM(t *task, a arguments, write bool) (uintptr, error) {
	if a[5] != 0 {
		return 0, unix.EINVAL
	}
	local, err := t.IovecSeq(addr(a[1].Pointer()), a[2].Int())
	if err != nil {
		return 0, err
	}
	remote, err := t.IovecSeq(addr(a[3].Pointer()), a[4].Int())
	if err != nil {
		return 0, err
	}
	o := t.PIDNS().TaskWithID(a[0].Int())
	if o == nil {
		return 0, unix.ESRCH
	}
	if !t.MayTrace(o) {
		return 0, unix.EPERM
	}
	m := o.MM()
	if m == nil || !m.TryIncUsers() {
		return 0, unix.ESRCH
	}
	defer m.DecUsers()
	remote = remote.In(m)
	from, to := remote, local
	if write {
		from, to = local, remote
	}
	done, err := copySeq(to, from)
	if write && o != t {
		_ = m.Flush(nil) // its threads must see the copy of a shared page
	}
	if done > 0 {
		return uintptr(done), nil
	}
	return 0, err
}

// copySeq copies from one memory to another, as far as the shorter goes.
func copySeq(to, from usermem.Seq) (int, error) {
	buf := make([]byte, min(64<<10, max(from.Len(), 1)))
	done := 0
	for n := min(to.Len(), from.Len()); done < n; {
		got, err := from.Drop(done).CopyIn(buf[:min(len(buf), n-done)])
		put, err2 := to.Drop(done).CopyOut(buf[:got])
		done += put
		if err == nil {
			err = err2
		}
		if err != nil {
			return done, err
		}
	}
	return done, nil
}
