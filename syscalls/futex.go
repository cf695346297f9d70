package syscalls

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/usermem"
	"ringfort/sentry/wait"
)

var futexCalls = []Call{
	{Nr: unix.SYS_FUTEX, Name: "futex", Func: Futex, Args: []Arg{Ptr, Int, Int, Ptr, Ptr, Int}, Level: Partial, Note: "PI futexes inherit no priority"},
	{Nr: unix.SYS_SET_ROBUST_LIST, Name: "set_robust_list", Func: SetRobustList, Args: []Arg{Ptr, Size}},
	{Nr: unix.SYS_GET_ROBUST_LIST, Name: "get_robust_list", Func: GetRobustList, Args: []Arg{Int, Ptr, Ptr}},
	{Nr: unix.SYS_RSEQ, Name: "rseq", Level: Refused, Errno: unix.ENOSYS, Note: "the Sentry does not see the host move a thread between processors, which restartable sequences need; C libraries and allocators do without", Args: []Arg{Ptr, Int, Hex, Hex}},
	{Nr: unix.SYS_MEMBARRIER, Name: "membarrier", Func: Membarrier, Args: []Arg{Int, Hex}},
}

// Operations and flags of futex(2).
const (
	futexWait        = 0
	futexWake        = 1
	futexRequeue     = 3
	futexCmpRequeue  = 4
	futexWakeOp      = 5
	futexLockPI      = 6
	futexUnlockPI    = 7
	futexTrylockPI   = 8
	futexWaitBitset  = 9
	futexWakeBitset  = 10
	futexWaitRequeue = 11
	futexCmpRequePI  = 12
	futexLockPI2     = 13
	futexPrivateFlag = 128
	futexRealtime    = 256
)

// Futex is futex(2).
func Futex(t *task, a arguments) (uintptr, error) {
	uaddr, op, val := addr(a[0].Pointer()), a[1].Uint(), a[2].Uint()
	private := op&futexPrivateFlag != 0
	cmd := op &^ (futexPrivateFlag | futexRealtime)
	if uaddr&3 != 0 {
		return 0, unix.EINVAL
	}
	if op&futexRealtime != 0 && cmd != futexWait && cmd != futexWaitBitset && cmd != futexLockPI2 && cmd != futexWaitRequeue {
		return 0, unix.ENOSYS
	}
	n := int(min(uint64(val), 1<<30))
	switch cmd {
	case futexWait, futexWaitBitset:
		return futexWaitCall(t, a, uaddr, val, private, cmd == futexWaitBitset, op&futexRealtime != 0)
	case futexWake:
		woken, err := t.Kernel().FutexWake(t, uaddr, max(n, 1), ^uint32(0), private)
		return uintptr(woken), err
	case futexWakeBitset:
		if a[5].Uint() == 0 {
			return 0, unix.EINVAL
		}
		woken, err := t.Kernel().FutexWake(t, uaddr, max(n, 1), a[5].Uint(), private)
		return uintptr(woken), err
	case futexRequeue, futexCmpRequeue:
		if a[2].Int() < 0 || a[3].Int() < 0 {
			return 0, unix.EINVAL
		}
		m, err := t.FutexRequeue(uaddr, addr(a[4].Pointer()), n, int(a[3].Int()), cmd == futexCmpRequeue, a[5].Uint(), private)
		return uintptr(m), err
	case futexWakeOp:
		m, err := t.FutexWakeOp(uaddr, addr(a[4].Pointer()), n, int(min(uint64(a[3].Uint()), 1<<30)), a[5].Uint(), private)
		return uintptr(m), err
	case futexLockPI, futexTrylockPI, futexLockPI2:
		deadline := int64(wait.NoDeadline)
		if p := addr(a[3].Pointer()); p != 0 && cmd != futexTrylockPI {
			d, err := copyInDuration(t, p)
			if err != nil {
				return 0, err
			}
			deadline = absoluteDeadline(t, d, cmd == futexLockPI || op&futexRealtime != 0)
		}
		return 0, t.FutexLockPI(uaddr, cmd == futexTrylockPI, private, deadline)
	case futexWaitRequeue:
		return futexWaitRequeuePI(t, a, private, op&futexRealtime != 0)
	case futexCmpRequePI:
		target := addr(a[4].Pointer())
		if val != 1 || a[3].Int() < 0 || target&3 != 0 {
			return 0, unix.EINVAL
		}
		m, err := t.FutexCmpRequeuePI(uaddr, target, int(a[3].Int()), a[5].Uint(), private)
		return uintptr(m), err
	case futexUnlockPI:
		return 0, t.FutexUnlockPI(uaddr, private)
	}
	return 0, unix.ENOSYS
}

// futexWaitRequeuePI is FUTEX_WAIT_REQUEUE_PI; its timeout is absolute.
func futexWaitRequeuePI(t *task, a arguments, private, realtime bool) (uintptr, error) {
	target := addr(a[4].Pointer())
	if target&3 != 0 {
		return 0, unix.EINVAL
	}
	deadline := int64(wait.NoDeadline)
	if p := addr(a[3].Pointer()); p != 0 {
		d, err := copyInDuration(t, p)
		if err != nil {
			return 0, err
		}
		deadline = absoluteDeadline(t, d, realtime)
	}
	return 0, t.FutexWaitRequeuePI(addr(a[0].Pointer()), target, a[2].Uint(), ^uint32(0), private, deadline)
}

func futexWaitCall(t *task, a arguments, uaddr addr, val uint32, private, bitset, realtime bool) (uintptr, error) {
	mask := ^uint32(0)
	if bitset {
		if mask = a[5].Uint(); mask == 0 {
			return 0, unix.EINVAL
		}
	}
	deadline := int64(wait.NoDeadline)
	if p := addr(a[3].Pointer()); p != 0 {
		d, err := copyInDuration(t, p)
		if err != nil {
			return 0, err
		}
		if bitset {
			deadline = absoluteDeadline(t, d, realtime)
		} else {
			deadline = deadlineAfter(t, d)
		}
	}
	err := t.FutexWait(uaddr, val, mask, private, deadline)
	if err == wait.ErrInterrupted && deadline != wait.NoDeadline {
		// The time already waited counts when the call is restarted.
		return 0, t.RestartWith(func(t *task) (uintptr, error) {
			return 0, t.FutexWait(uaddr, val, mask, private, deadline)
		})
	}
	return 0, err
}

// absoluteDeadline turns an absolute time of CLOCK_REALTIME or CLOCK_MONOTONIC
// into a deadline.
func absoluteDeadline(t *task, when int64, realtime bool) int64 {
	if realtime {
		return deadlineAfter(t, when-t.Now())
	}
	return when
}

// SetRobustList is set_robust_list(2).
func SetRobustList(t *task, a arguments) (uintptr, error) {
	if a[1].Size() != 24 {
		return 0, unix.EINVAL
	}
	t.SetRobustList(addr(a[0].Pointer()))
	return 0, nil
}

// GetRobustList is get_robust_list(2).
func GetRobustList(t *task, a arguments) (uintptr, error) {
	o := t
	if pid := a[0].Int(); pid != 0 {
		if o = t.PIDNS().TaskWithID(pid); o == nil {
			return 0, unix.ESRCH
		}
	}
	if !t.MayTrace(o) {
		return 0, unix.EPERM
	}
	head, size := uint64(o.RobustListHead()), uint64(24)
	if err := usermem.CopyOutVal(t.MM(), addr(a[2].Pointer()), &size); err != nil {
		return 0, err
	}
	return 0, usermem.CopyOutVal(t.MM(), addr(a[1].Pointer()), &head)
}

// Membarrier is membarrier(2). Each entry into the Sentry is a full barrier for
// the caller; the other threads are made to pass one.
func Membarrier(t *task, a arguments) (uintptr, error) {
	const (
		query, global                    = 0, 1
		globalExpedited, registerGlobal  = 2, 4
		private, registerPrivate         = 8, 16
		privateSync, registerPrivateSync = 32, 64
	)
	if a[1] != 0 {
		return 0, unix.EINVAL
	}
	switch a[0].Int() {
	case query:
		return global | globalExpedited | registerGlobal | private | registerPrivate | privateSync | registerPrivateSync, nil
	case registerGlobal:
		return 0, nil
	case registerPrivate, registerPrivateSync:
		t.ThreadGroup().RegisterMembarrier()
		return 0, nil
	case global, globalExpedited:
		t.Kernel().Barrier(nil)
		return 0, nil
	case private, privateSync:
		if !t.ThreadGroup().MembarrierRegistered() {
			return 0, unix.EPERM
		}
		t.Kernel().Barrier(t.MM())
		return 0, nil
	}
	return 0, unix.EINVAL
}
