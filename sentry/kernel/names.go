package kernel

import (
	"slices"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"ringfort/platform"
	"ringfort/sentry/arch"
	"ringfort/sentry/auth"
	"ringfort/sentry/ktime"
	"ringfort/sentry/memmap"
	"ringfort/sentry/names"
	"ringfort/sentry/steady"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

// nameTables are the tables of answers about names that platforms read.
//
// mu is held to show and to hide them; it comes before the locks of a MemoryManager.
type nameTables struct {
	mu   sync.Mutex
	list []*nameTable
}

// nameTable is the table of those who see the same names with the same rights.
type nameTable struct {
	*names.Table
	pages  memmap.Range
	root   vfs.Path // to compare with only
	mounts *vfs.MountNamespace
	creds  *auth.Credentials
}

const (
	// maxNameTables bounds the memory of tables, 256 KiB each where all of it is used.
	// While all are shown somebody else goes without.
	maxNameTables = 32
	// namesAfter is how many calls that could be answered a program makes before it gets a table.
	namesAfter = 8
	// maxShown is how often an address space gets one: tasks that share it may not have the
	// same rights.
	maxShown = 8
	// never is how many calls it takes a program that cannot have one.
	never = -1 << 40
)

// taskNames is what a task has of it. Owner only.
type taskNames struct {
	table *nameTable // that the platform reads for the task
	tries int        // calls that could have been answered; below 0: it can have no table
}

// prepareNames has the generations of names kept in the second half of the clock page, for all to read, and those of package
// steady before.
func (k *Kernel) prepareNames() {
	page := k.memory.Bytes(k.ClockPage())
	steady.Share((*steady.Generations)(unsafe.Pointer(&page[ktime.ParamsMax])))
	names.Share((*names.Generations)(unsafe.Pointer(&page[usermem.PageSize-unsafe.Sizeof(names.Generations{})])))
}

// nameCall is how a call takes a path and what its answers may be.
type nameCall struct {
	path, arg int // arguments; -1: none
	errnos    []unix.Errno
	flags     func(arg uint32) (vfs.WalkFlags, bool)
	at        func(vfs.Path) error // what it does in the end
}

var (
	absent   = []unix.Errno{unix.ENOENT, unix.ENOTDIR}
	noLink   = []unix.Errno{unix.ENOENT, unix.ENOTDIR, unix.EINVAL}
	occupied = []unix.Errno{unix.EEXIST}
)

func follow(uint32) (vfs.WalkFlags, bool)   { return vfs.FollowLast, true }
func noFollow(uint32) (vfs.WalkFlags, bool) { return 0, true }

func openFlags(arg uint32) (f vfs.WalkFlags, ok bool) {
	if arg&unix.O_NOFOLLOW == 0 {
		f |= vfs.FollowLast
	}
	if arg&unix.O_DIRECTORY != 0 {
		f |= vfs.WantDir
	}
	return f, arg&(unix.O_CREAT|unix.O_TMPFILE&^unix.O_DIRECTORY) == 0
}

func atFlags(arg uint32) (vfs.WalkFlags, bool) {
	if arg&unix.AT_SYMLINK_NOFOLLOW != 0 {
		return 0, true
	}
	return vfs.FollowLast, true
}

func readLink(p vfs.Path) error {
	if p.Inode().Base().Type() != unix.S_IFLNK {
		return unix.EINVAL
	}
	return nil
}

func exists(vfs.Path) error { return unix.EEXIST }

// nameCalls are the calls that stub_amd64.s of package systrap looks up.
var nameCalls = [maxSyscall]*nameCall{
	unix.SYS_OPEN:       {0, 1, absent, openFlags, nil},
	unix.SYS_OPENAT:     {1, 2, absent, openFlags, nil},
	unix.SYS_STAT:       {0, -1, absent, follow, nil},
	unix.SYS_LSTAT:      {0, -1, absent, noFollow, nil},
	unix.SYS_NEWFSTATAT: {1, 3, absent, atFlags, nil},
	unix.SYS_ACCESS:     {0, 1, absent, follow, nil},
	unix.SYS_FACCESSAT:  {1, 2, absent, follow, nil},
	unix.SYS_READLINK:   {0, 2, noLink, noFollow, readLink},
	unix.SYS_READLINKAT: {1, 3, noLink, noFollow, readLink},
	unix.SYS_MKDIR:      {0, 1, occupied, noFollow, exists},
}

// noteName is called when a call has failed: the platform may be able to answer the next
// one like it.
func (t *Task) noteName(nr uintptr, args *arch.SyscallArguments, err error) {
	errno, ok := err.(unix.Errno)
	if !ok || errno != unix.ENOENT && errno != unix.EINVAL && errno != unix.ENOTDIR && errno != unix.EEXIST {
		return
	}
	if nr >= maxSyscall {
		return
	}
	c := nameCalls[nr]
	if c == nil || !slices.Contains(c.errnos, errno) || t.watched() {
		return
	}
	if t.names.tries < namesAfter {
		t.names.tries++
		return
	}
	stamp := names.Now()
	path, err := t.CopyInPath(usermem.Addr(args[c.path].Pointer()))
	if err != nil || path == "" || path[0] != '/' || len(path) > names.MaxPath {
		return
	}
	arg := uint32(0)
	if c.arg >= 0 {
		arg = args[c.arg].Uint()
	}
	n := t.names.table
	if n == nil || t.MM().Names() != n.Table {
		if n = t.showNames(); n == nil {
			t.names.tries = never
			return
		}
	}
	key := names.Key(nr, arg)
	flags, ok := c.flags(arg)
	if !ok || !n.Again(key, path) {
		return
	}
	// It is not the call just made that is entered but what it would return now.
	slot, err, ok := vfs.Foretell(t, path, flags, c.at)
	if ok && err == errno {
		n.Enter(stamp, key, path, slot, errno)
	}
}

// showNames has the platform read t's table.
func (t *Task) showNames() *nameTable {
	k, m := t.k, t.MM()
	r, ok := t.ctx.(platform.NameReader)
	if !ok {
		return nil
	}
	k.nameTables.mu.Lock()
	defer k.nameTables.mu.Unlock()
	n := k.nameTables.find(t)
	if n == nil {
		return nil
	}
	if m.Names() != n.Table {
		if m.Names() != nil && m.HideNames() != nil || !m.ShowNames(n.Table, n.pages, maxShown) {
			return nil
		}
	}
	t.names.table = n
	t.readNames(r)
	return n
}

// readNames has the platform read the table that is shown.
func (t *Task) readNames(r platform.NameReader) {
	r.ReadNames(true)
	if t.watched() {
		r.AnswerNothing() // since just now
	}
}

// find returns t's table, which it makes if there is none; nil if there is no room for it.
// mu is held.
func (s *nameTables) find(t *Task) *nameTable {
	for _, n := range s.list {
		if n.fits(t) {
			return n
		}
	}
	pages, ok := s.room(t.k)
	if !ok {
		return nil
	}
	n := &nameTable{names.NewTable(t.k.memory.Bytes(pages)), pages, t.FS().SeesAs(), t.MountNS(), t.Creds()}
	s.list = append(s.list, n)
	return n
}

// room returns memory for a table: where there are as many as may be, that of one that is
// shown to nobody. mu is held.
func (s *nameTables) room(k *Kernel) (memmap.Range, bool) {
	if len(s.list) < maxNameTables {
		pages, err := k.memory.Allocate(names.TableSize, usermem.PageSize)
		return pages, err == nil
	}
	shown := map[*names.Table]bool{}
	for _, t := range k.rootPIDNS.Tasks() {
		if m := t.MM(); m != nil {
			shown[m.Names()] = true
		}
	}
	for i, n := range s.list {
		if !shown[n.Table] {
			n.End()
			s.list = slices.Delete(s.list, i, i+1)
			return n.pages, true
		}
	}
	return memmap.Range{}, false
}

// fits reports whether t sees what the others see who have the table.
func (n *nameTable) fits(t *Task) bool {
	a, b := n.creds, t.Creds()
	return n.root == t.FS().SeesAs() && n.mounts == t.MountNS() && (a == b ||
		a.UserNS == b.UserNS && a.RUID == b.RUID && a.FSUID == b.FSUID && a.RGID == b.RGID && a.FSGID == b.FSGID &&
			a.Permitted == b.Permitted && a.Effective == b.Effective && a.SecureBits == b.SecureBits && slices.Equal(a.Groups, b.Groups))
}

// reviewNames is called by t when it may see names otherwise than before.
func (t *Task) reviewNames() {
	n := t.names.table
	if n == nil {
		return
	}
	// Others who share the address space must not have another table shown meanwhile.
	t.k.nameTables.mu.Lock()
	defer t.k.nameTables.mu.Unlock()
	m := t.MM()
	shown := m != nil && m.Names() == n.Table
	r := t.ctx.(platform.NameReader)
	if shown && n.fits(t) && !t.watched() {
		t.readNames(r)
		return
	}
	t.names = taskNames{}
	r.ReadNames(false)
	if !shown {
		return
	}
	if err := m.HideNames(); err != nil {
		t.hostFailure("map memory", err)
	}
}

// ChangeRoots calls f, which changes the root directory of any tasks.
func (k *Kernel) ChangeRoots(f func()) {
	names.Begin(names.World)
	defer names.End()
	f()
	k.nameTables.mu.Lock()
	defer k.nameTables.mu.Unlock()
	for _, t := range k.rootPIDNS.Tasks() {
		if m := t.MM(); m != nil && m.Names() != nil {
			_ = m.HideNames() // where the host refuses, the process is ended when it is next to run
		}
	}
}
