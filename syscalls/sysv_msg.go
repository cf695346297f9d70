package syscalls

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"ringfort/sentry/ipc"
	"ringfort/sentry/usermem"
)

var msgCalls = []Call{
	{Nr: unix.SYS_MSGGET, Name: "msgget", Func: Msgget, Args: []Arg{Hex, Hex}},
	{Nr: unix.SYS_MSGSND, Name: "msgsnd", Func: Msgsnd, Args: []Arg{Int, Ptr, Size, Hex}},
	{Nr: unix.SYS_MSGRCV, Name: "msgrcv", Func: Msgrcv, Args: []Arg{Int, Ptr, Size, Int, Hex}},
	{Nr: unix.SYS_MSGCTL, Name: "msgctl", Func: Msgctl, Args: []Arg{Int, Int, Ptr}},
}

// Commands of msgctl(2).
const (
	msgStat    = 11
	msgInfo    = 12
	msgStatAny = 13
)

// typeSize is the size of a message's type, which precedes its text.
const typeSize = 8

// Msgget is msgget(2).
func Msgget(t *task, a arguments) (uintptr, error) {
	id, err := t.IPCNS().MsgGet(t, a[0].Int(), a[1].Uint())
	return uintptr(id), err
}

// Msgsnd is msgsnd(2).
func Msgsnd(t *task, a arguments) (uintptr, error) {
	id, p, size := a[0].Int(), addr(a[1].Pointer()), a[2].Size()
	ns := t.IPCNS()
	typ, err := usermem.CopyInVal[int64](t.MM(), p)
	if err != nil {
		return 0, err
	}
	if int64(size) < 0 || id < 0 || typ < 1 || size > uint64(max(ns.Limits().MsgMax, 0)) {
		return 0, unix.EINVAL
	}
	m, err := ns.NewMessage(typ, size)
	if err != nil {
		return 0, err
	}
	if _, err := t.MM().CopyIn(p+typeSize, m.Text); err != nil {
		ns.Discard(m)
		return 0, err
	}
	return 0, ns.MsgSend(t, id, m, a[3].Uint())
}

// Msgrcv is msgrcv(2).
func Msgrcv(t *task, a arguments) (uintptr, error) {
	id, p, size := a[0].Int(), addr(a[1].Pointer()), a[2].Size()
	if id < 0 || int64(size) < 0 {
		return 0, unix.EINVAL
	}
	m, err := t.IPCNS().MsgReceive(t, id, size, a[3].Int64(), a[4].Uint())
	if err != nil {
		return 0, err
	}
	if err := usermem.CopyOutVal(t.MM(), p, &m.Type); err != nil {
		return 0, err
	}
	text := m.Text[:min(uint64(len(m.Text)), size)]
	_, err = t.MM().CopyOut(p+typeSize, text)
	return uintptr(len(text)), err
}

// Msgctl is msgctl(2).
func Msgctl(t *task, a arguments) (uintptr, error) {
	id, cmd, p := a[0].Int(), a[1].Int(), addr(a[2].Pointer())
	ns := t.IPCNS()
	if id < 0 || cmd < 0 {
		return 0, unix.EINVAL
	}
	switch cmd {
	case ipcInfo, msgInfo:
		return msgInfoOut(t, cmd == msgInfo, p)
	case ipcStat, msgStat, msgStatAny:
		st, err := ns.MsgStat(t, id, cmd != ipcStat, cmd == msgStatAny)
		if err != nil {
			return 0, err
		}
		ret := uintptr(0)
		if cmd != ipcStat {
			ret = uintptr(st.Perm.ID)
		}
		return ret, msqidDS(t, st).out(t, p)
	case ipcSet:
		o, err := ownership(t, p)
		if err != nil {
			return 0, err
		}
		const qbytesAt = permSize + 5*8 // msg_qbytes of struct msqid64_ds
		var b [8]byte
		if _, err := t.MM().CopyIn(p+qbytesAt, b[:]); err != nil {
			return 0, err
		}
		return 0, ns.MsgSet(t, id, o, binary.LittleEndian.Uint64(b[:]))
	case ipcRmid:
		return 0, ns.MsgRemove(t, id)
	}
	return 0, unix.EINVAL
}

// msgInfoOut writes a struct msginfo: of what there is if inUse, else of the limits.
func msgInfoOut(t *task, inUse bool, p addr) (uintptr, error) {
	ns := t.IPCNS()
	l := ns.Limits()
	// MSGPOOL, MSGMAP, MSGTQL, MSGSSZ and MSGSEG (include/uapi/linux/msg.h).
	pool, mapped, total := int32(512000), int32(16384), int32(16384)
	const segSize, segs = 16, 0xffff
	top, used, count, bytes := ns.MsgTotals()
	if inUse {
		pool, mapped, total = int32(used), int32(count), int32(bytes)
	}
	var r record
	for _, v := range [...]int32{pool, mapped, l.MsgMax, l.MsgMnb, l.MsgMni, segSize, total, segs} {
		r.i32(v)
	}
	return uintptr(top), r.out(t, p)
}

// msqidDS is a struct msqid64_ds (asm-generic/msgbuf.h).
func msqidDS(t *task, st ipc.MsgStat) record {
	var r record
	r.perm(t, st.Perm)
	r.i64(st.SendTime)
	r.i64(st.ReceiveTime)
	r.i64(st.ChangeTime)
	r.u64(st.Bytes)
	r.u64(st.Count)
	r.u64(st.MaxBytes)
	r.pid(t, st.LastSend)
	r.pid(t, st.LastReceive)
	r.u64(0)
	r.u64(0)
	return r
}
