package mm

import (
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"

	"ringfort/platform"
	"ringfort/sentry/limits"
	"ringfort/sentry/memmap"
	"ringfort/sentry/names"
	"ringfort/sentry/pgalloc"
	"ringfort/sentry/usermem"
)

// MemoryManager is the address space of one or more tasks.
type MemoryManager struct {
	as   platform.AddressSpace
	file *pgalloc.File

	users atomic.Int32 // tasks that use it (CLONE_VM)

	mu     sync.RWMutex
	vmas   set[*vma]
	pmas   set[*pma]
	layout Layout
	brk    struct {
		start, end usermem.Addr
		grown      bool // more than once: the program uses it
	}

	total, data, locked uint64 // bytes of VMAs: all, private writable, mlocked
	rss, maxRSS         atomic.Int64
	own                 int64         // bytes of pages that end with it
	apart               bool          // its host process is in other cgroups than the Sentry
	allowance           *atomic.Int64 // see LimitBy
	ballast             usermem.Addr  // bytes, from layout.Min on

	lockFuture bool
	touch      touch
	cow        struct{ end, pages usermem.Addr } // the last copy-on-write: where it ended, and how much it copied
	grown      usermem.Range                     // the last piece of a large mapping that got pages
	hot        *hotPages

	owner atomic.Value // see SetOwner
	title string       // see SetTitle

	program *memmap.Code // of what was mapped first
	traps   atomic.Int64 // at call sites that are not patched
	adopted bool         // some were patched from the start

	// dead are references to drop once the host has let go of the pages.
	dead  []held
	stale atomic.Bool // dead is not empty or the platform has work queued

	names  atomic.Pointer[names.Table] // see ShowNames
	shown  int                         // how often one was shown
	window memmap.Range                // see Window

	// Where the program's parts are, for prctl(PR_SET_MM) and /proc.
	Info     Info
	dumpable atomic.Bool // Info.Dumpable is 1
}

// held is a reference on pages.
type held struct {
	file memmap.File
	r    memmap.Range
}

// Info tells where parts of a program lie; /proc/PID/{cmdline,environ,auxv,stat}
// are read from there. Guarded by the MemoryManager's lock through SetInfo and
// GetInfo.
type Info struct {
	ArgStart, ArgEnd, EnvStart, EnvEnd usermem.Addr
	CodeStart, CodeEnd                 usermem.Addr
	DataStart, DataEnd                 usermem.Addr
	StackStart                         usermem.Addr
	Auxv                               []byte
	Exe                                memmap.Identity
	VDSO                               usermem.Addr
	Dumpable                           int32
}

// Layout is where mappings go by default.
type Layout struct {
	Min, Max usermem.Addr // usable addresses
	TopDown  usermem.Addr // mmap searches downward from here
	StackEnd usermem.Addr // top of the initial stack
}

// Stack gap and randomisation, as Linux's for x86-64 (mm/util.c, ELF_ET_DYN_BASE).
const (
	stackGuardGap = 256 * usermem.PageSize
	mmapRandBits  = 28
	stackRandBits = 22
	minStackGap   = 128 << 20
	maxStackGap   = 1 << 40
)

// NewLayout returns a layout for a program whose stack may grow to stackLimit;
// random is false if personality(2) ADDR_NO_RANDOMIZE is set.
func NewLayout(min, max uintptr, stackLimit uint64, random bool) Layout {
	l := Layout{Min: usermem.Addr(min), Max: usermem.Addr(max)}
	l.StackEnd = l.Max - usermem.PageSize
	gap := usermem.Addr(maxStackGap)
	if stackLimit < maxStackGap {
		gap = usermem.Addr(stackLimit)
	}
	if gap < minStackGap {
		gap = minStackGap
	}
	var shift usermem.Addr
	if random {
		l.StackEnd -= usermem.Addr(rand.Uint64N(1<<stackRandBits)) << usermem.PageShift
		shift = usermem.Addr(rand.Uint64N(1<<mmapRandBits)) << usermem.PageShift
	}
	gap += stackGuardGap + (1<<stackRandBits)<<usermem.PageShift
	l.TopDown = (l.Max - gap - shift).RoundDown()
	return l
}

// New returns an empty address space with one user.
func New(p platform.Platform, file *pgalloc.File, layout Layout) (*MemoryManager, error) {
	as, err := p.NewAddressSpace()
	if err != nil {
		return nil, err
	}
	_, apart := p.(platform.Group)
	m := &MemoryManager{as: as, apart: apart, file: file, layout: layout, hot: &hotPages{}}
	m.users.Store(1)
	m.Info.Dumpable = 1
	m.dumpable.Store(true)
	return m, nil
}

// SetTitle lets who looks at the host see the command line of a program that is
// being loaded, its arguments with blanks between.
func (m *MemoryManager) SetTitle(argv []string) {
	const most = 1 << 10 // a title is cut anyway
	n := 0
	for i, a := range argv {
		if n += len(a) + 1; n > most {
			argv = argv[:i+1]
			break
		}
	}
	title := strings.Join(argv, " ")
	m.mu.Lock()
	defer m.mu.Unlock()
	m.setTitle(title[:min(len(title), most)])
}

// setTitle is SetTitle with m.mu held.
func (m *MemoryManager) setTitle(title string) {
	m.title = title
	if t, ok := m.as.(platform.Titler); ok && title != "" {
		t.SetTitle(title)
	}
}

// HostPID returns the number, in the Sentry's PID namespace, of the host process
// that is the address space; 0 if there is none of its own.
func (m *MemoryManager) HostPID() int {
	if t, ok := m.as.(platform.Titler); ok {
		return t.PID()
	}
	return 0
}

// AddressSpace returns what the platform runs.
func (m *MemoryManager) AddressSpace() platform.AddressSpace { return m.as }

// Layout returns where mappings go.
func (m *MemoryManager) Layout() Layout { return m.layout }

// SetOwner says whose address space it is, always by one type.
func (m *MemoryManager) SetOwner(owner any) { m.owner.Store(owner) }

// Owner implements memmap.Space.
func (m *MemoryManager) Owner() any { return m.owner.Load() }

// IncUsers adds a user (CLONE_VM).
func (m *MemoryManager) IncUsers() { m.users.Add(1) }

// Users returns the number of users.
func (m *MemoryManager) Users() int32 { return m.users.Load() }

// TryIncUsers adds a user unless the address space is being torn down.
func (m *MemoryManager) TryIncUsers() bool {
	for {
		n := m.users.Load()
		if n == 0 {
			return false
		}
		if m.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// DecUsers removes a user; with the last one everything is unmapped. The
// caller no longer runs in the address space.
func (m *MemoryManager) DecUsers() {
	if m.users.Add(-1) != 0 {
		return
	}
	m.as.Release()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.pmas.list {
		m.dead = append(m.dead, held{p.file, p.fileRange()})
	}
	m.pmas.list = nil
	m.dropWindow()
	for _, v := range m.vmas.list {
		m.forget(v)
	}
	m.vmas.list = nil
	m.remember()
	m.dropDead()
	if m.Info.Exe != nil {
		m.Info.Exe.DecRef()
		m.Info.Exe = nil
	}
}

// dropDead drops the references the host no longer needs. m.mu is held.
func (m *MemoryManager) dropDead() {
	for _, h := range m.dead {
		h.file.DecRef(h.r)
	}
	m.dead = m.dead[:0]
	m.stale.Store(false)
}

// Flush makes the host carry out what is queued, in the platform context of
// the calling task (nil: the platform's own), and frees what that held. A task
// calls it before it returns to user code.
func (m *MemoryManager) Flush(c platform.Context) error {
	if !m.stale.Load() {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var err error
	if c != nil {
		err = c.Flush(m.as)
	} else {
		err = m.as.Flush()
	}
	m.dropDead()
	return err
}

// Prepare is Flush for a task that is about to switch to user code: where the
// switch itself can carry out what is queued it leaves that to it, and Settle
// does the rest. Nothing whose failure would matter to others is left to it: as
// long as pages wait to be freed, Flush alone tells for sure that they are gone.
func (m *MemoryManager) Prepare(c platform.Context) error {
	if !m.stale.Load() {
		return nil
	}
	if k, ok := c.(platform.Carrier); ok && m.users.Load() == 1 && m.frees() == 0 && k.Carry(m.as) {
		return nil
	}
	return m.Flush(c)
}

// Settle notes that the switch just made has carried out what was queued.
func (m *MemoryManager) Settle(c platform.Context) {
	if !m.stale.Load() {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if k, ok := c.(platform.Carrier); ok && len(m.dead) == 0 && k.Carried() {
		m.stale.Store(false)
	}
}

// frees returns how many runs of pages wait to be freed.
func (m *MemoryManager) frees() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.dead)
}

// Stale reports whether Flush has something to do.
func (m *MemoryManager) Stale() bool { return m.stale.Load() }

// SetInfo changes where the program's parts are.
func (m *MemoryManager) SetInfo(change func(i *Info)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.Info)
	m.dumpable.Store(m.Info.Dumpable == 1)
}

// Dumpable reports whether the process may be looked into and dumps core
// (PR_SET_DUMPABLE of prctl(2)). It takes no lock.
func (m *MemoryManager) Dumpable() bool { return m.dumpable.Load() }

// GetInfo returns where the program's parts are.
func (m *MemoryManager) GetInfo() Info {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.Info
}

// Usage is what an address space amounts to, in bytes.
type Usage struct{ Total, Data, Locked, RSS, MaxRSS, Stack, Exec uint64 }

// Usage returns the sizes /proc/PID/status and getrusage(2) tell.
func (m *MemoryManager) Usage() Usage {
	m.mu.RLock()
	defer m.mu.RUnlock()
	u := Usage{Total: m.total, Data: m.data, Locked: m.locked, RSS: uint64(m.rss.Load()), MaxRSS: uint64(m.maxRSS.Load())}
	for _, v := range m.vmas.list {
		if v.growsDown {
			u.Stack += uint64(v.Len())
		} else if v.prot&platform.Exec != 0 {
			u.Exec += uint64(v.Len())
		}
	}
	return u
}

// MaxRSS returns the most that was resident at any time, in bytes. It takes no lock.
func (m *MemoryManager) MaxRSS() uint64 { return uint64(m.maxRSS.Load()) }

// count adds (or with sign -1 removes) the size of p to what is resident. m.mu is held for writing.
func (m *MemoryManager) count(p *pma, sign int64) {
	n := int64(p.Len()) * sign
	if now := m.rss.Add(n); now > m.maxRSS.Load() {
		m.maxRSS.Store(now)
	}
	if p.own {
		m.own += n
		m.trim()
	}
}

// account adds (or with sign -1 removes) v's size to the totals.
func (m *MemoryManager) account(v *vma, sign int64) {
	n := uint64(int64(v.Len()) * sign)
	m.total += n
	if !v.shared && v.prot&platform.Write != 0 && !v.growsDown {
		m.data += n
	}
	if v.locked {
		m.locked += n
	}
}

// overLimit reports whether n more bytes would pass RLIMIT_AS.
func (m *MemoryManager) overLimit(l *limits.Set, n uint64) bool {
	return l != nil && m.total+n > l.Get(rlimitAS).Cur
}

const (
	rlimitData    = 2 // RLIMIT_DATA
	rlimitStack   = 3 // RLIMIT_STACK
	rlimitMemlock = 8 // RLIMIT_MEMLOCK
	rlimitAS      = 9 // RLIMIT_AS
)
