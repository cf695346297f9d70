package syscalls

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"ringfort/sentry/ipc"
	"ringfort/sentry/usermem"
	"ringfort/sentry/wait"
)

var semCalls = []Call{
	{Nr: unix.SYS_SEMGET, Name: "semget", Func: Semget, Args: []Arg{Hex, Int, Hex}},
	{Nr: unix.SYS_SEMOP, Name: "semop", Func: Semop, Args: []Arg{Int, Ptr, Size}},
	{Nr: unix.SYS_SEMTIMEDOP, Name: "semtimedop", Func: Semtimedop, Args: []Arg{Int, Ptr, Size, Timespec}},
	{Nr: unix.SYS_SEMCTL, Name: "semctl", Func: Semctl, Args: []Arg{Int, Int, Int, Hex}},
}

// Commands of semctl(2).
const (
	semGetPID  = 11
	semGetVal  = 12
	semGetAll  = 13
	semGetNCnt = 14
	semGetZCnt = 15
	semSetVal  = 16
	semSetAll  = 17
	semStat    = 18
	semInfo    = 19
	semStatAny = 20
)

// maxOps bounds the operations of one call, whatever /proc/sys/kernel/sem says.
const maxOps = 1 << 16

// Semget is semget(2).
func Semget(t *task, a arguments) (uintptr, error) {
	id, err := t.IPCNS().SemGet(t, a[0].Int(), a[1].Int(), a[2].Uint())
	return uintptr(id), err
}

// Semop is semop(2).
func Semop(t *task, a arguments) (uintptr, error) { return semop(t, a, wait.NoDeadline) }

// Semtimedop is semtimedop(2).
func Semtimedop(t *task, a arguments) (uintptr, error) {
	deadline := int64(wait.NoDeadline)
	if p := addr(a[3].Pointer()); p != 0 {
		d, err := copyInDuration(t, p)
		if err != nil {
			return 0, err
		}
		deadline = deadlineAfter(t, d)
	}
	return semop(t, a, deadline)
}

func semop(t *task, a arguments, deadline int64) (uintptr, error) {
	id, n := a[0].Int(), a[2].Uint()
	ns := t.IPCNS()
	if n < 1 || id < 0 {
		return 0, unix.EINVAL
	}
	if uint64(n) > uint64(max(ns.Limits().SemOpm, 0)) {
		return 0, unix.E2BIG
	}
	if n > maxOps {
		return 0, unix.ENOMEM
	}
	const opSize = 6 // struct sembuf
	var few [8 * opSize]byte
	var raw []byte
	if size := int(n) * opSize; size <= len(few) {
		raw = few[:size]
	} else {
		raw = make([]byte, size)
	}
	if _, err := t.MM().CopyIn(addr(a[1].Pointer()), raw); err != nil {
		return 0, err
	}
	ops := make([]ipc.Op, n)
	var list *ipc.UndoList
	for i := range ops {
		b := raw[i*opSize:]
		ops[i] = ipc.Op{
			Num: binary.LittleEndian.Uint16(b), Op: int16(binary.LittleEndian.Uint16(b[2:])), Flags: int16(binary.LittleEndian.Uint16(b[4:])),
		}
		if ops[i].Flags&ipc.Undo != 0 {
			list = t.UndoList()
		}
	}
	return 0, ns.SemOp(t, id, ops, list, deadline)
}

// Semctl is semctl(2).
func Semctl(t *task, a arguments) (uintptr, error) {
	id, num, cmd, p := a[0].Int(), a[1].Int(), a[2].Int(), addr(a[3].Pointer())
	ns := t.IPCNS()
	if id < 0 {
		return 0, unix.EINVAL
	}
	switch cmd {
	case ipcInfo, semInfo:
		return semInfoOut(t, cmd == semInfo, p)
	case ipcStat, semStat, semStatAny:
		st, err := ns.SemStat(t, id, cmd != ipcStat, cmd == semStatAny)
		if err != nil {
			return 0, err
		}
		ret := uintptr(0)
		if cmd != ipcStat {
			ret = uintptr(st.Perm.ID)
		}
		return ret, semidDS(t, st).out(t, p)
	case semGetVal, semGetPID, semGetNCnt, semGetZCnt:
		info, err := ns.SemQuery(t, id, num)
		if err != nil {
			return 0, err
		}
		return uintptr(map[int32]int32{
			semGetVal: info.Value, semGetPID: t.NumberOf(info.Last), semGetNCnt: int32(info.Rising), semGetZCnt: int32(info.Zeros),
		}[cmd]), nil
	case semGetAll:
		vals, err := ns.SemValues(t, id)
		if err != nil {
			return 0, err
		}
		return 0, usermem.CopyOutSlice(t.MM(), p, vals)
	case semSetAll:
		n, err := ns.SemCount(t, id)
		if err != nil {
			return 0, err
		}
		vals := make([]uint16, n)
		if err := usermem.CopyInSlice(t.MM(), p, vals); err != nil {
			return 0, err
		}
		return 0, ns.SemSetValues(t, id, vals)
	case semSetVal:
		return 0, ns.SemSetValue(t, id, num, a[3].Int())
	case ipcSet:
		o, err := ownership(t, p)
		if err != nil {
			return 0, err
		}
		return 0, ns.SemSet(t, id, o)
	case ipcRmid:
		return 0, ns.SemRemove(t, id)
	}
	return 0, unix.EINVAL
}

// semInfoOut writes a struct seminfo: of what there is if inUse, else of the limits.
func semInfoOut(t *task, inUse bool, p addr) (uintptr, error) {
	ns := t.IPCNS()
	l := ns.Limits()
	top, used, sems := ns.SemTotals()
	const undoSize = 20 // SEMUSZ
	size, aem := int32(undoSize), int32(ipc.SemMax)
	if inUse {
		size, aem = int32(used), int32(sems)
	}
	var r record
	for _, v := range [...]int32{l.SemMns, l.SemMni, l.SemMns, l.SemMns, l.SemMsl, l.SemOpm, l.SemOpm, size, ipc.SemMax, aem} {
		r.i32(v)
	}
	return uintptr(top), r.out(t, p)
}

// semidDS is a struct semid64_ds (arch/x86/include/uapi/asm/sembuf.h).
func semidDS(t *task, st ipc.SemStat) record {
	var r record
	r.perm(t, st.Perm)
	r.i64(st.OpTime)
	r.u64(0)
	r.i64(st.ChangeTime)
	r.u64(0)
	r.u64(uint64(st.Count))
	r.u64(0)
	r.u64(0)
	return r
}
