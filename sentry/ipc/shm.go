package ipc

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"ringfort/sentry/fs/fsutil"
	"ringfort/sentry/memmap"
	"ringfort/sentry/mm"
	"ringfort/sentry/usermem"
)

// Bits of shm_perm.mode beside the permissions (shmctl(2)).
const (
	ShmDest   = 0o1000
	ShmLocked = 0o2000
)

// Segment is a shared memory segment. It implements memmap.Mappable and
// memmap.Identity: address spaces map it as they map a file.
type Segment struct {
	sync.Mutex
	header
	n    *Namespace
	size uint64 // as asked for; the pages are a multiple of the page size
	mem  *mm.SharedMemory
	name string

	attached           fsutil.Mappings
	pins               int // calls of shmat(2) under way
	attachTime, detach int64
	creator, last      any
	// orphan is set once the creator has ended (shm_rmid_forced).
	orphan bool
}

// ShmGet is shmget(2).
func (n *Namespace) ShmGet(c Caller, key int32, size uint64, flags uint32) (int32, error) {
	l := n.Limits()
	fits := func(s *Segment) error {
		if s.size < size {
			return unix.EINVAL
		}
		return nil
	}
	return get(n, &n.shm, c, key, flags, int(l.ShmMni), fits, func(h header) (*Segment, error) {
		if size < 1 || size > l.ShmMax {
			return nil, unix.EINVAL
		}
		pages := (size + usermem.PageMask) >> usermem.PageShift
		if size+usermem.PageMask < size || int64(pages<<usermem.PageShift) < 0 {
			return nil, unix.ENOSPC
		}
		if total := n.pages.Add(pages); total > l.ShmAll || total < pages {
			n.pages.Add(-pages)
			return nil, unix.ENOSPC
		}
		name := fmt.Sprintf("/SYSV%08x", uint32(key))
		return &Segment{header: h, n: n, size: size, name: name, mem: mm.NewSharedMemory(n.mem, size, name, 0), creator: c.ProcessName()}, nil
	})
}

func (s *Segment) discard() {
	s.n.pages.Add(-s.pages())
	s.mem.Release()
}

func (s *Segment) pages() uint64 { return s.mem.Size() >> usermem.PageShift }

// Pin finds a segment for shmat(2) and checks that c has the wanted rights. The
// segment stays until Unpin.
func (n *Namespace) Pin(c Caller, id int32, wanted uint32) (*Segment, error) {
	s, err := n.shm.lock(id)
	if err != nil {
		return nil, err
	}
	defer s.Unlock()
	if err := n.allows(c, &s.header, wanted); err != nil {
		return nil, err
	}
	s.pins++
	return s, nil
}

// Unpin ends what Pin began.
func (s *Segment) Unpin() {
	s.Lock()
	s.pins--
	s.unlock()
}

// Size returns the bytes an attachment takes, a multiple of the page size.
func (s *Segment) Size() uint64 { return s.mem.Size() }

// unlock releases the lock of s, and removes s if it is doomed and this was its last use.
func (s *Segment) unlock() {
	doomed := s.doomed()
	s.Unlock()
	if !doomed {
		return
	}
	t := &s.n.shm
	t.mu.Lock()
	s.Lock()
	gone := s.doomed()
	if gone {
		t.remove(s)
	}
	s.Unlock()
	t.mu.Unlock()
	if gone {
		s.discard()
	}
}

// doomed reports whether nothing keeps s any more. Its lock is held.
func (s *Segment) doomed() bool {
	return !s.removed && s.pins == 0 && s.attached.Count() == 0 && (s.mode&ShmDest != 0 || s.orphan && s.n.Limits().ShmRmidForced)
}

// removeSegment is IPC_RMID: the segment goes with its last attachment.
func (n *Namespace) removeSegment(s *Segment) {
	n.shm.mu.Lock()
	s.Lock()
	s.mode |= ShmDest
	n.shm.dropKey(s)
	n.shm.mu.Unlock()
	s.unlock()
}

// Pages implements memmap.Mappable.
func (s *Segment) Pages(off, n uint64, at usermem.Access) (memmap.File, memmap.Range, error) {
	return s.mem.Pages(off, n, at)
}

// AddMapping implements memmap.Mappable: an attachment, or its copy in a child.
func (s *Segment) AddMapping(sp memmap.Space, r usermem.Range, off uint64, writable bool) error {
	s.Lock()
	defer s.Unlock()
	if s.removed {
		return unix.EIDRM
	}
	if err := s.mem.AddMapping(sp, r, off, writable); err != nil {
		return err
	}
	s.attached.Add(sp, r, off, writable)
	s.attachTime = time.Now().Unix()
	s.touch(sp)
	return nil
}

// RemoveMapping implements memmap.Mappable: a detachment.
func (s *Segment) RemoveMapping(sp memmap.Space, r usermem.Range, off uint64, writable bool) {
	s.Lock()
	s.mem.RemoveMapping(sp, r, off, writable)
	s.attached.Remove(sp, r, off, writable)
	s.detach = time.Now().Unix()
	s.touch(sp)
	s.unlock()
}

// touch notes who attached or detached last.
func (s *Segment) touch(sp memmap.Space) {
	if o := sp.Owner(); o != nil {
		s.last = o
	}
}

// Sync implements memmap.Mappable.
func (s *Segment) Sync(off, n uint64) error { return nil }

// Punch frees pages (MADV_REMOVE).
func (s *Segment) Punch(off, n uint64) error { return s.mem.Punch(off, n) }

// MappedName implements memmap.Identity.
func (s *Segment) MappedName(any) (string, uint64, uint64) {
	return s.name + " (deleted)", 1, uint64(s.id)
}

// IncRef implements memmap.Identity; mappings are counted themselves.
func (s *Segment) IncRef() {}

// DecRef implements memmap.Identity.
func (s *Segment) DecRef() {}

// ShmStat is a segment as shmctl(2) shows it.
type ShmStat struct {
	Perm                               Perm
	Size                               uint64
	AttachTime, DetachTime, ChangeTime int64
	Creator, Last                      any
	Attached                           uint64
	Used                               uint64 // bytes that have pages
}

func (s *Segment) stat() ShmStat {
	return ShmStat{
		Perm: s.perm(), Size: s.size, AttachTime: s.attachTime, DetachTime: s.detach, ChangeTime: s.changeTime,
		Creator: s.creator, Last: s.last, Attached: uint64(s.attached.Count()), Used: s.mem.Used(),
	}
}

// ShmStat returns a segment's state, found by index if byIndex; anybody may ask if any.
func (n *Namespace) ShmStat(c Caller, id int32, byIndex, any bool) (ShmStat, error) {
	return stat(n, &n.shm, c, id, byIndex, any, (*Segment).stat)
}

// ShmSet is shmctl(2) IPC_SET.
func (n *Namespace) ShmSet(c Caller, id int32, o Ownership) error {
	return change(n, &n.shm, c, id, func(s *Segment) error { s.set(c, o); return nil })
}

// ShmRemove is shmctl(2) IPC_RMID.
func (n *Namespace) ShmRemove(c Caller, id int32) error {
	return removeOwned(n, &n.shm, c, id, n.removeSegment)
}

// ShmLock is shmctl(2) SHM_LOCK and SHM_UNLOCK. limit is how many bytes the
// caller may have locked; privileged callers (CAP_IPC_LOCK) have none.
func (n *Namespace) ShmLock(c Caller, id int32, on bool, limit uint64) error {
	var sum uint64
	if on {
		sum = n.lockedBy(c)
	}
	s, err := n.shm.lock(id)
	if err != nil {
		return err
	}
	defer s.Unlock()
	cr := c.Creds()
	if !cr.HasCapIn(unix.CAP_IPC_LOCK, n.userNS) {
		if cr.EUID != s.uid && cr.EUID != s.cuid {
			return unix.EPERM
		}
		if on && limit == 0 {
			return unix.EPERM
		}
		if on && s.mode&ShmLocked == 0 && (sum+s.Size() > limit || sum+s.Size() < sum) {
			return unix.ENOMEM
		}
	}
	if on {
		s.mode |= ShmLocked
	} else {
		s.mode &^= ShmLocked
	}
	return nil
}

// lockedBy returns the bytes of locked segments of the caller's user.
func (n *Namespace) lockedBy(c Caller) (sum uint64) {
	for _, s := range n.shm.all() {
		s.Lock()
		if s.mode&ShmLocked != 0 && s.cuid == c.Creds().EUID {
			sum += s.Size()
		}
		s.Unlock()
	}
	return sum
}

// ShmTotals returns the highest index in use, the number of segments, their
// pages and how many of those are there (SHM_INFO).
func (n *Namespace) ShmTotals() (top, used int, pages, present uint64) {
	top, used = n.shm.top()
	for _, s := range n.shm.all() {
		present += s.mem.Used() >> usermem.PageShift
	}
	return top, used, n.pages.Load(), present
}

// ShmList returns the state of every segment (/proc/sysvipc/shm).
func (n *Namespace) ShmList() []ShmStat { return list(&n.shm, (*Segment).stat) }

// CreatorGone is told when a process ends: with shm_rmid_forced what it has
// made and nobody is attached to goes.
func (n *Namespace) CreatorGone(process any) {
	if _, used := n.shm.top(); used == 0 {
		return
	}
	for _, s := range n.shm.all() {
		s.Lock()
		if s.creator == process {
			s.orphan = true
		}
		s.unlock()
	}
}

// removeOrphans removes what CreatorGone would have, had shm_rmid_forced been set.
func (n *Namespace) removeOrphans() {
	for _, s := range n.shm.all() {
		s.Lock()
		s.unlock()
	}
}

var (
	_ memmap.Mappable = (*Segment)(nil)
	_ memmap.Identity = (*Segment)(nil)
)
