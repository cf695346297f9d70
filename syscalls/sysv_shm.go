package syscalls

import (
	"golang.org/x/sys/unix"

	"ringfort/platform"
	"ringfort/sentry/ipc"
	"ringfort/sentry/memmap"
	"ringfort/sentry/mm"
)

var shmCalls = []Call{
	{Nr: unix.SYS_SHMGET, Name: "shmget", Func: Shmget, Args: []Arg{Hex, Size, Hex}, Level: Partial, Note: "no huge pages: SHM_HUGETLB gives ENOMEM"},
	{Nr: unix.SYS_SHMAT, Name: "shmat", Func: Shmat, Args: []Arg{Int, Ptr, Hex}},
	{Nr: unix.SYS_SHMDT, Name: "shmdt", Func: Shmdt, Args: []Arg{Ptr}},
	{Nr: unix.SYS_SHMCTL, Name: "shmctl", Func: Shmctl, Args: []Arg{Int, Int, Ptr}},
}

// Flags of shmget(2) and shmat(2).
const (
	shmHugeTLB  = 0o4000
	shmReadOnly = 0o10000
	shmRound    = 0o20000
	shmRemap    = 0o40000
	shmExec     = 0o100000
)

// Commands of shmctl(2).
const (
	shmLock    = 11
	shmUnlock  = 12
	shmStat    = 13
	shmInfo    = 14
	shmStatAny = 15
)

// Shmget is shmget(2).
func Shmget(t *task, a arguments) (uintptr, error) {
	key, flags := a[0].Int(), a[2].Uint()
	if flags&shmHugeTLB != 0 {
		return 0, unix.ENOMEM // as where no huge pages are set aside
	}
	id, err := t.IPCNS().ShmGet(t, key, a[1].Size(), flags)
	return uintptr(id), err
}

// Shmat is shmat(2).
func Shmat(t *task, a arguments) (uintptr, error) {
	at, flags := addr(a[1].Pointer()), a[2].Uint()
	if a[0].Int() < 0 {
		return 0, unix.EINVAL
	}
	if at.PageOffset() != 0 {
		if flags&shmRound == 0 {
			return 0, unix.EINVAL
		}
		at = at.RoundDown()
	}
	if at == 0 && flags&shmRemap != 0 {
		return 0, unix.EINVAL
	}
	opts := mm.MapOpts{
		Addr: at, Fixed: at != 0, NoReplace: flags&shmRemap == 0, Shared: true, Limits: t.Limits(),
		Prot: platform.Read | platform.Write, MaxProt: toProt(7),
	}
	wanted := uint32(ipc.ReadBits | ipc.WriteBits)
	if flags&shmReadOnly != 0 {
		opts.Prot, wanted = platform.Read, ipc.ReadBits
		opts.MaxProt &^= platform.Write
	}
	if flags&shmExec != 0 {
		opts.Prot |= platform.Exec
		wanted |= 0o111
	}
	s, err := t.IPCNS().Pin(t, a[0].Int(), wanted)
	if err != nil {
		return 0, err
	}
	defer s.Unpin()
	opts.Obj, opts.ID, opts.Length = s, s, s.Size()
	if end, ok := at.AddLength(opts.Length); at != 0 && flags&shmRemap == 0 && (!ok || end < at) {
		return 0, unix.EINVAL
	}
	p, err := t.MM().MMap(opts)
	if err == unix.EEXIST {
		err = unix.EINVAL
	}
	return uintptr(p), err
}

// Shmdt is shmdt(2).
func Shmdt(t *task, a arguments) (uintptr, error) {
	return 0, t.MM().Detach(addr(a[0].Pointer()), func(obj memmap.Mappable) (uint64, bool) {
		s, ok := obj.(*ipc.Segment)
		if !ok {
			return 0, false
		}
		return s.Size(), true
	})
}

// Shmctl is shmctl(2).
func Shmctl(t *task, a arguments) (uintptr, error) {
	id, cmd, p := a[0].Int(), a[1].Int(), addr(a[2].Pointer())
	ns := t.IPCNS()
	if cmd < 0 || id < 0 {
		return 0, unix.EINVAL
	}
	switch cmd {
	case ipcInfo:
		l := ns.Limits()
		var r record
		for _, v := range [...]uint64{l.ShmMax, 1, uint64(l.ShmMni), uint64(l.ShmMni), l.ShmAll, 0, 0, 0, 0} {
			r.u64(v)
		}
		top, _, _, _ := ns.ShmTotals()
		return uintptr(top), r.out(t, p)
	case shmInfo:
		top, used, pages, present := ns.ShmTotals()
		var r record
		for _, v := range [...]uint64{uint64(used), pages, present, 0, 0, 0} {
			r.u64(v)
		}
		return uintptr(top), r.out(t, p)
	case ipcStat, shmStat, shmStatAny:
		st, err := ns.ShmStat(t, id, cmd != ipcStat, cmd == shmStatAny)
		if err != nil {
			return 0, err
		}
		ret := uintptr(0)
		if cmd != ipcStat {
			ret = uintptr(st.Perm.ID)
		}
		return ret, shmidDS(t, st).out(t, p)
	case ipcSet:
		o, err := ownership(t, p)
		if err != nil {
			return 0, err
		}
		return 0, ns.ShmSet(t, id, o)
	case ipcRmid:
		return 0, ns.ShmRemove(t, id)
	case shmLock, shmUnlock:
		return 0, ns.ShmLock(t, id, cmd == shmLock, t.Limits().Get(unix.RLIMIT_MEMLOCK).Cur)
	}
	return 0, unix.EINVAL
}

// shmidDS is a struct shmid64_ds (asm-generic/shmbuf.h).
func shmidDS(t *task, st ipc.ShmStat) record {
	var r record
	r.perm(t, st.Perm)
	r.u64(st.Size)
	r.i64(st.AttachTime)
	r.i64(st.DetachTime)
	r.i64(st.ChangeTime)
	r.pid(t, st.Creator)
	r.pid(t, st.Last)
	r.u64(st.Attached)
	r.u64(0)
	r.u64(0)
	return r
}
