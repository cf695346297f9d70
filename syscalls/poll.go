package syscalls

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"ringfort/sentry/kernel"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

var pollCalls = []Call{
	{Nr: unix.SYS_POLL, Name: "poll", Func: Poll, Args: []Arg{Ptr, UInt, Int}},
	{Nr: unix.SYS_PPOLL, Name: "ppoll", Func: Ppoll, Args: []Arg{Ptr, UInt, Timespec, Ptr, Size}},
	{Nr: unix.SYS_SELECT, Name: "select", Func: Select, Args: []Arg{Int, Ptr, Ptr, Ptr, Ptr}},
	{Nr: unix.SYS_PSELECT6, Name: "pselect6", Func: Pselect6, Args: []Arg{Int, Ptr, Ptr, Ptr, Timespec, Ptr}},
}

// pollFD is struct pollfd.
type pollFD struct {
	FD              int32
	Events, Revents int16
}

// A polled is one description being waited for.
type polled struct {
	d    *vfs.Description // nil: nothing to wait for
	want wait.Events
	// exact: an error or hang-up counts only if wanted (select).
	exact bool
	got   wait.Events
}

// pollAs asks d for the events in mask as t sees them.
func pollAs(t *kernel.Task, d *vfs.Description, mask wait.Events) wait.Events {
	if a, ok := d.File().(askerFile); ok {
		return a.PollAs(t, mask) & mask
	}
	return d.Poll(mask) & (mask | wait.Err | wait.HUp)
}

// pollAll asks every description and returns how many are ready.
func pollAll(t *kernel.Task, ps []polled) int {
	n := 0
	for i := range ps {
		p := &ps[i]
		if p.d == nil {
			if p.got != 0 {
				n++ // found wanting before the wait
			}
			continue
		}
		p.got = pollAs(t, p.d, p.want)
		if p.exact {
			p.got &= p.want
		}
		if p.got != 0 {
			n++
		}
	}
	return n
}

// waitAny waits until one of ps is ready, the deadline (0: do not wait) or an
// interruption (wait.ErrInterrupted), and returns how many are ready.
func waitAny(t *kernel.Task, ps []polled, deadline int64) (int, error) {
	if n := pollAll(t, ps); n > 0 || deadline == 0 {
		return n, nil
	}
	ws := make([]wait.Waiter, len(ps))
	for i := range ps {
		p := &ps[i]
		if p.d == nil {
			continue
		}
		if q := queueFor(t, p.d); q != nil {
			ws[i].To = t
			q.Add(&ws[i], p.want|wait.Err|wait.HUp)
		}
	}
	defer func() {
		for i := range ws {
			ws[i].Remove()
		}
	}()
	for {
		if n := pollAll(t, ps); n > 0 {
			return n, nil
		}
		switch err := t.Block(deadline); err {
		case nil:
		case unix.ETIMEDOUT:
			return pollAll(t, ps), nil
		default:
			return 0, err
		}
	}
}

func releaseAll(t *kernel.Task, ps []polled) {
	for i := range ps {
		if ps[i].d != nil {
			ps[i].d.DecRef(t)
		}
	}
}

// fewPolled is how many descriptors poll handles without allocating.
const fewPolled = 16

// pollMask are the events poll(2) takes.
const pollMask = wait.In | wait.Pri | wait.Out | wait.RdNorm | wait.RdBand | wait.WrNorm | wait.WrBand | wait.RdHUp

// Poll is poll(2).
func Poll(t *task, a arguments) (uintptr, error) {
	deadline := int64(wait.NoDeadline)
	if ms := int64(a[2].Int()); ms == 0 {
		deadline = 0
	} else if ms > 0 {
		deadline = after(t, ms*1e6)
	}
	return pollUntil(t, addr(a[0].Pointer()), a[1].Uint(), deadline)
}

func pollUntil(t *task, fdsAddr addr, count uint32, deadline int64) (uintptr, error) {
	n, err := doPoll(t, fdsAddr, count, deadline)
	if err == wait.ErrInterrupted {
		return 0, t.RestartWith(func(t *task) (uintptr, error) { return pollUntil(t, fdsAddr, count, deadline) })
	}
	return uintptr(n), err
}

func doPoll(t *task, fdsAddr addr, count uint32, deadline int64) (int, error) {
	if uint64(count) > t.Limits().Get(unix.RLIMIT_NOFILE).Cur {
		return 0, unix.EINVAL
	}
	var fewFDs [fewPolled]pollFD
	fds := fewFDs[:]
	if int(count) > len(fds) {
		fds = make([]pollFD, count)
	}
	fds = fds[:count]
	if err := usermem.CopyInSlice(t.MM(), fdsAddr, fds); err != nil {
		return 0, err
	}
	var few [fewPolled]polled
	ps := few[:]
	if len(fds) > len(few) {
		ps = make([]polled, len(fds))
	}
	ps = ps[:len(fds)]
	defer releaseAll(t, ps)
	for i := range fds {
		f := &fds[i]
		if f.FD < 0 {
			continue
		}
		if ps[i].d = t.GetIOFile(f.FD); ps[i].d == nil {
			ps[i].got = wait.Nval
			continue
		}
		ps[i].want = wait.Events(uint16(f.Events)) & pollMask
	}
	n, err := waitAny(t, ps, deadline)
	if err != nil {
		return 0, err
	}
	for i := range fds {
		fds[i].Revents = int16(ps[i].got)
	}
	if err := usermem.CopyOutSlice(t.MM(), fdsAddr, fds); err != nil {
		return 0, err
	}
	return n, nil
}

// Ppoll is ppoll(2).
func Ppoll(t *task, a arguments) (uintptr, error) {
	deadline, err := timespecDeadline(t, addr(a[2].Pointer()))
	if err != nil {
		return 0, err
	}
	restore, err := useMask(t, addr(a[3].Pointer()), a[4].Size())
	if err != nil {
		return 0, err
	}
	n, err := doPoll(t, addr(a[0].Pointer()), a[1].Uint(), deadline)
	restore(err)
	if err == wait.ErrInterrupted {
		err = wait.ErrRestartNoHand
	}
	putTimespec(t, addr(a[2].Pointer()), deadline)
	return uintptr(n), err
}

// timespecDeadline reads a relative struct timespec: no deadline for a null
// pointer, 0 for no time at all.
func timespecDeadline(t *task, p addr) (int64, error) {
	if p == 0 {
		return wait.NoDeadline, nil
	}
	ts, err := usermem.CopyInVal[unix.Timespec](t.MM(), p)
	if err != nil {
		return 0, err
	}
	return relative(t, ts.Sec, ts.Nsec)
}

func relative(t *task, sec, nsec int64) (int64, error) {
	if sec < 0 || nsec < 0 || nsec >= 1e9 {
		return 0, unix.EINVAL
	}
	if sec == 0 && nsec == 0 {
		return 0, nil
	}
	const maxSec = 1 << 33
	if sec > maxSec {
		return wait.NoDeadline, nil
	}
	return after(t, sec*1e9+nsec), nil
}

// putTimespec stores the time that is left, as Linux does; a pointer that
// cannot be written is no error.
func putTimespec(t *task, p addr, deadline int64) {
	if p == 0 {
		return
	}
	left := timeLeft(t, deadline)
	ts := unix.Timespec{Sec: left / 1e9, Nsec: left % 1e9}
	if deadline != wait.NoDeadline {
		usermem.CopyOutVal(t.MM(), p, &ts)
	}
}

func timeLeft(t *task, deadline int64) int64 {
	if deadline == 0 || deadline == wait.NoDeadline {
		return 0
	}
	return max(deadline-t.Monotonic(), 0)
}

// useMask blocks the signals at p for the call; restore is to be called with
// how the call ended. A null pointer changes nothing.
func useMask(t *task, p addr, size uint64) (restore func(error), err error) {
	if p == 0 {
		return func(error) {}, nil
	}
	set, err := t.CopyInSignalSet(p, size)
	if err != nil {
		return nil, err
	}
	t.UseMask(set)
	return func(err error) { t.RestoreMask(err == wait.ErrInterrupted) }, nil
}

// Select is select(2).
func Select(t *task, a arguments) (uintptr, error) {
	p := addr(a[4].Pointer())
	deadline := int64(wait.NoDeadline)
	if p != 0 {
		tv, err := usermem.CopyInVal[unix.Timeval](t.MM(), p)
		if err != nil {
			return 0, err
		}
		if tv.Sec < 0 || tv.Usec < 0 {
			return 0, unix.EINVAL
		}
		// Linux takes more than a second of microseconds here.
		const maxSec = 1 << 33
		if tv.Sec < maxSec && tv.Usec/1e6 < maxSec {
			if deadline, err = relative(t, tv.Sec+tv.Usec/1e6, tv.Usec%1e6*1e3); err != nil {
				return 0, err
			}
		}
	}
	n, err := doSelect(t, a, deadline)
	if p != 0 && deadline != wait.NoDeadline {
		left := timeLeft(t, deadline)
		tv := unix.Timeval{Sec: left / 1e9, Usec: left % 1e9 / 1e3}
		usermem.CopyOutVal(t.MM(), p, &tv)
	}
	if err == wait.ErrInterrupted {
		err = wait.ErrRestartNoHand
	}
	return uintptr(n), err
}

// Pselect6 is pselect(2); the sixth argument points to the mask's address and
// size.
func Pselect6(t *task, a arguments) (uintptr, error) {
	deadline, err := timespecDeadline(t, addr(a[4].Pointer()))
	if err != nil {
		return 0, err
	}
	restore := func(error) {}
	if p := addr(a[5].Pointer()); p != 0 {
		arg, err := usermem.CopyInVal[[2]uint64](t.MM(), p)
		if err != nil {
			return 0, err
		}
		if restore, err = useMask(t, addr(arg[0]), arg[1]); err != nil {
			return 0, err
		}
	}
	n, err := doSelect(t, a, deadline)
	restore(err)
	if err == wait.ErrInterrupted {
		err = wait.ErrRestartNoHand
	}
	putTimespec(t, addr(a[4].Pointer()), deadline)
	return uintptr(n), err
}

// What makes a descriptor ready for each set of select(2).
const (
	selectIn  = wait.Readable | wait.RdBand | wait.HUp | wait.Err
	selectOut = wait.Writable | wait.WrBand | wait.Err
	selectEx  = wait.Pri
)

// doSelect waits on three bit sets and replaces them by what is ready.
func doSelect(t *task, a arguments, deadline int64) (int, error) {
	n := a[0].Int()
	if n < 0 {
		return 0, unix.EINVAL
	}
	// Descriptors beyond the table are not looked at.
	if fds := t.FDs().FDs(); len(fds) == 0 {
		n = 0
	} else {
		n = min(n, max(fds[len(fds)-1]+1, 64))
	}
	size := (int(n) + 63) / 64 * 8
	var sets [3][]byte
	for i := range sets {
		sets[i] = make([]byte, size)
		if p := addr(a[1+i].Pointer()); p != 0 && size > 0 {
			if _, err := t.MM().CopyIn(p, sets[i]); err != nil {
				return 0, err
			}
		}
	}
	ps, nums, err := selectFiles(t, sets, int(n))
	defer releaseAll(t, ps)
	if err != nil {
		return 0, err
	}
	if _, err := waitAny(t, ps, deadline); err != nil {
		return 0, err
	}
	asked := sets
	for i := range sets {
		sets[i] = make([]byte, size)
	}
	count := 0
	for i, p := range ps {
		for k, events := range [3]wait.Events{selectIn, selectOut, selectEx} {
			if bit(asked[k], nums[i]) && p.got&events != 0 {
				sets[k][nums[i]/8] |= 1 << (nums[i] % 8)
				count++
			}
		}
	}
	for i := range sets {
		if p := addr(a[1+i].Pointer()); p != 0 && size > 0 {
			if _, err := t.MM().CopyOut(p, sets[i]); err != nil {
				return 0, err
			}
		}
	}
	return count, nil
}

func bit(set []byte, n int) bool { return set[n/8]>>(n%8)&1 != 0 }

// selectFiles collects the descriptions of three sets; EBADF if one is not
// open. What it returns is to be released even then.
func selectFiles(t *task, sets [3][]byte, n int) (ps []polled, nums []int, err error) {
	for base := 0; base < n; base += 64 {
		w := binary.NativeEndian.Uint64(sets[0][base/8:]) | binary.NativeEndian.Uint64(sets[1][base/8:]) |
			binary.NativeEndian.Uint64(sets[2][base/8:])
		for fd := base; w != 0 && fd < n; fd, w = fd+1, w>>1 {
			if w&1 == 0 {
				continue
			}
			var want wait.Events
			for k, events := range [3]wait.Events{selectIn, selectOut, selectEx} {
				if bit(sets[k], fd) {
					want |= events
				}
			}
			d := t.GetIOFile(int32(fd))
			if d == nil {
				return ps, nums, unix.EBADF
			}
			ps = append(ps, polled{d: d, want: want, exact: true})
			nums = append(nums, fd)
		}
	}
	return ps, nums, nil
}
