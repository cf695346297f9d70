package syscalls

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"ringfort/sentry/ipc"
)

// Commands that shmctl(2), semctl(2) and msgctl(2) share.
const (
	ipcRmid = 0
	ipcSet  = 1
	ipcStat = 2
	ipcInfo = 3
)

// permSize is the size of struct ipc64_perm (asm-generic/ipcbuf.h).
const permSize = 48

// record builds a structure of the kernel's ABI, field by field.
type record []byte

func (r *record) i32(v int32)  { *r = binary.LittleEndian.AppendUint32(*r, uint32(v)) }
func (r *record) u32(v uint32) { *r = binary.LittleEndian.AppendUint32(*r, v) }
func (r *record) u64(v uint64) { *r = binary.LittleEndian.AppendUint64(*r, v) }
func (r *record) i64(v int64)  { r.u64(uint64(v)) }

// perm appends a struct ipc64_perm as t sees it.
func (r *record) perm(t *task, p ipc.Perm) {
	ns := t.UserNS()
	r.i32(p.Key)
	r.u32(ns.UID(p.UID))
	r.u32(ns.GID(p.GID))
	r.u32(ns.UID(p.CUID))
	r.u32(ns.GID(p.CGID))
	r.u32(p.Mode)
	r.u32(uint32(p.Seq))
	r.u32(0) // padding
	r.u64(0) // two unused words
	r.u64(0)
}

// pid appends the number of a process as t sees it.
func (r *record) pid(t *task, process any) { r.i32(t.NumberOf(process)) }

// out writes r to the application.
func (r record) out(t *task, p addr) error {
	_, err := t.MM().CopyOut(p, r)
	return err
}

// ownership reads what IPC_SET sets from the struct ipc64_perm at p.
func ownership(t *task, p addr) (o ipc.Ownership, err error) {
	var b [permSize]byte
	if _, err := t.MM().CopyIn(p, b[:]); err != nil {
		return o, err
	}
	uid, ok1 := t.UserNS().KUID(binary.LittleEndian.Uint32(b[4:]))
	gid, ok2 := t.UserNS().KGID(binary.LittleEndian.Uint32(b[8:]))
	if !ok1 || !ok2 {
		return o, unix.EINVAL
	}
	return ipc.Ownership{UID: uid, GID: gid, Mode: binary.LittleEndian.Uint32(b[20:])}, nil
}
