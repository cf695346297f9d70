package kernel

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"ringfort/sentry/usermem"
)

// rseqArea is a task's registration of restartable sequences (rseq(2)).
type rseqArea struct {
	addr usermem.Addr
	len  uint32
	sig  uint32
}

// Layout of struct rseq and struct rseq_cs (linux/rseq.h).
const (
	rseqMinSize = 32
	rseqCSField = 8
)

// RegisterRseq is rseq(2).
func (t *Task) RegisterRseq(addr usermem.Addr, length uint32, flags int32, sig uint32) error {
	const unregister = 1
	r := &t.rseq
	if flags == unregister {
		switch {
		case r.addr == 0 || addr != r.addr || length != r.len:
			return unix.EINVAL
		case sig != r.sig:
			return unix.EPERM
		}
		*r = rseqArea{}
		return nil
	}
	if flags != 0 || length < rseqMinSize || addr&31 != 0 {
		return unix.EINVAL
	}
	if r.addr != 0 {
		if addr != r.addr || length != r.len {
			return unix.EINVAL
		}
		if sig != r.sig {
			return unix.EPERM
		}
		return unix.EBUSY
	}
	// cpu_id_start and cpu_id: one processor number that never changes under
	// the application, because preemption aborts nothing it could see.
	var b [8]byte
	if _, err := t.MM().CopyOut(addr, b[:]); err != nil {
		return err
	}
	*r = rseqArea{addr, length, sig}
	return nil
}

// rseqAbort moves the instruction pointer to the abort handler if a signal
// interrupts a restartable sequence.
func (t *Task) rseqAbort() {
	if t.rseq.addr == 0 {
		return
	}
	m := t.MM()
	cs, err := usermem.CopyInVal[uint64](m, t.rseq.addr+rseqCSField)
	if err != nil || cs == 0 {
		return
	}
	var b [32]byte
	if _, err := m.CopyIn(usermem.Addr(cs), b[:]); err != nil {
		t.force(KernelSignal(unix.SIGSEGV))
		return
	}
	start, n, abort := binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:])
	_ = usermem.CopyOutVal(m, t.rseq.addr+rseqCSField, new(uint64)) // readable just now
	if t.regs.Rip-start < n {
		t.regs.Rip = abort
	}
}
