package names

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func TestLayout(t *testing.T) {
	var e entry
	for _, f := range []struct {
		name      string
		got, want uintptr
	}{
		{"entry", unsafe.Sizeof(e), 256}, {"seq", unsafe.Offsetof(e.seq), 0}, {"world", unsafe.Offsetof(e.world), 4},
		{"slot", unsafe.Offsetof(e.slot), 8}, {"gen", unsafe.Offsetof(e.gen), 12}, {"key", unsafe.Offsetof(e.key), 16},
		{"result", unsafe.Offsetof(e.result), 24}, {"path", unsafe.Offsetof(e.path), 40},
		{"generations", unsafe.Sizeof(Generations{}), 2048}, {"table", TableSize, 256 << 10},
	} {
		if f.got != f.want {
			t.Errorf("%s is %d, but the stub knows %d", f.name, f.got, f.want)
		}
	}
}

func TestEnterAndLook(t *testing.T) {
	tab := table(t)
	key := Key(unix.SYS_STAT, 0)
	if _, ok := tab.Look(key, "/a"); ok {
		t.Error("an empty table has an answer")
	}
	tab.Enter(Now(), key, "/a", Slot("a"), unix.ENOENT)
	if errno, ok := tab.Look(key, "/a"); !ok || errno != unix.ENOENT {
		t.Errorf("the answer is %v, %v", errno, ok)
	}
	tab.Enter(Now(), key, "/a", Slot("a"), unix.ENOTDIR)
	if errno, ok := tab.Look(key, "/a"); !ok || errno != unix.ENOTDIR {
		t.Errorf("the new answer is %v, %v", errno, ok)
	}
	if n := tab.count(); n != 1 {
		t.Errorf("one call has %d entries", n)
	}
}

// count returns how many entries are in use.
func (t *Table) count() (n int) {
	for i := range t.sets {
		for j := range t.sets[i] {
			if t.sets[i][j].key.Load() != 0 {
				n++
			}
		}
	}
	return n
}

func TestEnterAtABadTime(t *testing.T) {
	tab := table(t)
	key := Key(unix.SYS_ACCESS, 4)
	enter := func(s Stamp) bool {
		tab.Enter(s, key, "/a", Slot("a"), unix.ENOENT)
		_, ok := tab.Look(key, "/a")
		return ok
	}
	Begin(Slot("other"))
	if enter(Now()) {
		t.Error("entered while a change was under way")
	}
	s := Now()
	End()
	if enter(s) {
		t.Error("entered what was seen while a change was under way")
	}
	s = Now()
	Begin(Slot("other"))
	if enter(s) {
		t.Error("entered after a change had begun")
	}
	End()
	if enter(s) {
		t.Error("entered what was seen before a change")
	}
	if enter(Stamp{}) {
		t.Error("entered without a time")
	}
	if n := tab.count(); n != 0 {
		t.Errorf("%d entries in use", n)
	}
	if !enter(Now()) {
		t.Error("not entered though nothing changes")
	}
}

func TestVoid(t *testing.T) {
	tab := table(t)
	stat, open := Key(unix.SYS_STAT, 0), Key(unix.SYS_OPEN, 0)
	fill := func() {
		tab.Enter(Now(), stat, "/d/a", Slot("a"), unix.ENOENT)
		tab.Enter(Now(), open, "/d/a", Slot("a"), unix.ENOENT)
		tab.Enter(Now(), stat, "/d/b", Slot("b"), unix.ENOENT)
	}
	looks := func(what string, a, b bool) {
		t.Helper()
		for _, c := range []struct {
			key  uint64
			path string
			want bool
		}{{stat, "/d/a", a}, {open, "/d/a", a}, {stat, "/d/b", b}} {
			if _, ok := tab.Look(c.key, c.path); ok != c.want {
				t.Errorf("%s: %s is answered: %v, want %v", what, c.path, ok, c.want)
			}
		}
	}
	if Slot("a") == Slot("b") || Slot("c") == Slot("a") || Slot("c") == Slot("b") {
		t.Fatal("the names of this test have one slot")
	}
	fill()
	looks("at first", true, true)
	Begin(Slot("c"))
	looks("while another name changes", true, true)
	End()
	Begin(Slot("a"))
	looks("while a changes", false, true)
	End()
	looks("after a has changed", false, true)
	fill()
	looks("again", true, true)
	Begin(World)
	looks("while all may change", false, false)
	End()
	looks("after all may have changed", false, false)
	fill()
	looks("at the end", true, true)
	if n := tab.count(); n != 3 {
		t.Errorf("%d entries in use, want 3", n)
	}
}

// setOf returns where a call's entry is.
func setOf(key uint64, path string) uint64 {
	w, n := split(path)
	return hash(key, w[:n]) >> setShift
}

// rivals returns n paths whose entries are in one set.
func rivals(key uint64, n int) (paths []string) {
	var found [sets][]string
	for i := 0; ; i++ {
		p := fmt.Sprintf("/rival/%d", i)
		s := &found[setOf(key, p)]
		if *s = append(*s, p); len(*s) == n {
			return *s
		}
	}
}

func TestTwoEntriesPerSet(t *testing.T) {
	tab := table(t)
	key := Key(unix.SYS_LSTAT, 0)
	p := rivals(key, 4)
	enter := func(i int, errno unix.Errno) { tab.Enter(Now(), key, p[i], Slot(p[i]), errno) }
	looks := func(what string, want ...bool) {
		t.Helper()
		for i, w := range want {
			errno, ok := tab.Look(key, p[i])
			if ok != w || ok && errno != unix.Errno(i+1) {
				t.Errorf("%s: answer %d is %d, %v; want %v", what, i, errno, ok, w)
			}
		}
	}
	enter(0, 1)
	enter(1, 2)
	looks("two", true, true, false, false)
	enter(2, 3)
	looks("three: the one in the first place moved on", true, false, true, false)
	enter(3, 4)
	looks("four", false, false, true, true)
	enter(2, 3)
	looks("one again", false, false, true, true)
	// What is void makes room.
	for i := range p {
		for j := range i {
			if Slot(p[i]) == Slot(p[j]) {
				t.Fatal("the paths of this test have one slot")
			}
		}
	}
	Begin(Slot(p[3]))
	End()
	enter(0, 1)
	looks("in the place of a void one", true, false, true, false)
	Begin(Slot(p[2]))
	End()
	enter(1, 2)
	looks("the same with the other place", true, true, false, false)
}

func TestLengths(t *testing.T) {
	tab := table(t)
	key := Key(unix.SYS_READLINK, 4096)
	path := func(n int) string { return "/" + strings.Repeat("x", n-1) }
	for n := 1; n <= MaxPath+9; n++ {
		tab.Enter(Now(), key, path(n), Slot("x"), unix.Errno(n))
		errno, ok := tab.Look(key, path(n))
		if ok != (n <= MaxPath) || ok && errno != unix.Errno(n) {
			t.Errorf("%d bytes: answer %d, %v", n, errno, ok)
		}
	}
	// One is not another's answer, even if it is the beginning.
	for n := 1; n <= MaxPath; n++ {
		if errno, ok := tab.Look(key, path(n)); ok && errno != unix.Errno(n) {
			t.Errorf("%d bytes have the answer of %d", n, errno)
		}
	}
	tab.Enter(Now(), key, "", Slot(""), unix.ENOENT)
	if errno, ok := tab.Look(key, ""); !ok || errno != unix.ENOENT {
		t.Errorf("no path: answer %v, %v", errno, ok)
	}
	if MaxPath%8 != 7 {
		t.Errorf("a path of %d bytes has no zero behind", MaxPath)
	}
}

func TestSplit(t *testing.T) {
	for n := range MaxPath + 1 {
		path := strings.Repeat("y", n)
		w, words := split(path)
		if words != n/8+1 {
			t.Errorf("%d bytes are %d words", n, words)
		}
		b := unsafe.Slice((*byte)(unsafe.Pointer(&w)), len(w)*8)
		if !bytes.Equal(b[:n], []byte(path)) || bytes.Count(b[n:], []byte{0}) != len(b)-n {
			t.Errorf("%d bytes are not split as the stub does it: %q", n, b)
		}
	}
}

func TestKeysDiffer(t *testing.T) {
	tab := table(t)
	type call struct {
		nr  uintptr
		arg uint32
	}
	calls := []call{{unix.SYS_OPEN, 0}, {unix.SYS_OPEN, 1}, {unix.SYS_OPENAT, 0}, {unix.SYS_OPENAT, 1 << 31}, {unix.SYS_STAT, 0}, {unix.SYS_ACCESS, 0}, {0, unix.SYS_OPEN}}
	seen := map[uint64]call{}
	for _, c := range calls {
		k := Key(c.nr, c.arg)
		if o, ok := seen[k]; ok {
			t.Errorf("%v and %v have one key", c, o)
		}
		seen[k] = c
		if _, ok := tab.Look(k, "/same"); ok {
			t.Errorf("%v has the answer of another", c)
		}
		tab.Enter(Now(), k, "/same", Slot("same"), unix.Errno(len(seen)))
		if errno, ok := tab.Look(k, "/same"); !ok || errno != unix.Errno(len(seen)) {
			t.Errorf("%v: answer %d, %v", c, errno, ok)
		}
	}
}

func TestAgain(t *testing.T) {
	tab := table(t)
	key := Key(unix.SYS_STAT, 0)
	twice := 0
	for i := range 200 {
		p := fmt.Sprintf("/again/%d", i)
		if tab.Again(key, p) {
			twice++ // cannot be told from another
		}
		if !tab.Again(key, p) {
			t.Errorf("%s was not asked for before", p)
		}
	}
	if twice > 40 {
		t.Errorf("%d of 200 calls seemed to be made before", twice)
	}
	if n := tab.count(); n != 0 {
		t.Errorf("%d entries, though nothing was entered", n)
	}
}

// model is what a table may say: it may forget anything, but not err.
type model struct {
	tab   *Table
	truth map[string]unix.Errno
}

// step asks, enters or changes something.
func (m *model) step(t *testing.T, r *rand.Rand) {
	name := fmt.Sprintf("%d", r.IntN(300))
	path := "/" + strings.Repeat("d/", r.IntN(104)) + name
	nr, arg := uintptr(r.IntN(4)), uint32(r.IntN(3))
	key := Key(nr, arg)
	// What the call returns, if it has been decided, until its name changes.
	is := fmt.Sprintf("%d %d %s", nr, arg, path)
	switch r.IntN(12) {
	case 0:
		Begin(Slot(name))
		for k := range m.truth {
			if strings.HasSuffix(k, "/"+name) {
				delete(m.truth, k)
			}
		}
		End()
	case 1:
		if r.IntN(20) > 0 {
			return
		}
		Begin(World)
		clear(m.truth)
		End()
	case 2:
		s := Now()
		Begin(Slot("elsewhere"))
		if r.IntN(2) == 0 {
			s = Now()
		}
		m.tab.Enter(s, key, path, Slot(name), 99)
		End()
		m.tab.Enter(s, key, path, Slot(name), 99)
	case 3, 4, 5, 6, 7:
		errno := m.truth[is]
		if errno == 0 {
			errno = unix.Errno(1 + r.IntN(98))
			m.truth[is] = errno
		}
		m.tab.Enter(Now(), key, path, Slot(name), errno)
		if got, ok := m.tab.Look(key, path); ok != (len(path) <= MaxPath) || ok && got != errno {
			t.Fatalf("%q was entered with %d, but is %d, %v", is, errno, got, ok)
		}
	default:
		if got, ok := m.tab.Look(key, path); ok && got != m.truth[is] {
			t.Fatalf("%q is %d, want %d", is, got, m.truth[is])
		}
	}
}

func TestAgainstModel(t *testing.T) {
	for seed := range uint64(4) {
		m := model{table(t), map[string]unix.Errno{}}
		r := rand.New(rand.NewPCG(seed, 1))
		for range 50000 {
			m.step(t, r)
		}
		if n := m.tab.count(); n < sets {
			t.Errorf("only %d entries are in use", n)
		}
	}
}

// FuzzLook checks that no two calls are taken for one.
func FuzzLook(f *testing.F) {
	f.Add("/a", "/b", uint32(1), uint32(1))
	f.Add("/12345678", "/1234567", uint32(4), uint32(4))
	f.Add("/"+strings.Repeat("x", MaxPath-1), "/"+strings.Repeat("x", MaxPath), uint32(2), uint32(2))
	f.Fuzz(func(t *testing.T, p, q string, a, b uint32) {
		if strings.IndexByte(p, 0) >= 0 || strings.IndexByte(q, 0) >= 0 {
			t.Skip("a path ends at its first zero byte")
		}
		tab := NewTable(make([]byte, TableSize))
		tab.Enter(Now(), Key(2, a), p, Slot("p"), unix.ENOENT)
		if _, ok := tab.Look(Key(2, a), p); ok != (len(p) <= MaxPath) {
			t.Errorf("%q: answered %v", p, ok)
		}
		if _, ok := tab.Look(Key(2, b), q); ok && (p != q || a != b) {
			t.Errorf("%q %d has the answer of %q %d", q, b, p, a)
		}
	})
}

// Entries that are replaced while somebody looks are never mixed up.
func TestLookWhileEntriesChange(t *testing.T) {
	tab := table(t)
	key := Key(unix.SYS_STAT, 0)
	p := rivals(key, 5)
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; !stop.Load(); i++ {
			n := i % len(p)
			tab.Enter(Now(), key, p[n], Slot("rival"), unix.Errno(n+1))
			if i%7 == 0 {
				Begin(Slot("rival"))
				End()
			}
		}
	})
	defer wg.Wait()
	defer stop.Store(true)
	found := 0
	for i := range 200000 {
		n := i % len(p)
		if errno, ok := tab.Look(key, p[n]); ok {
			found++
			if errno != unix.Errno(n+1) {
				t.Errorf("%s has the answer of %d", p[n], errno)
				break
			}
		}
	}
	t.Logf("%d answers", found)
}

// Look returns the answer as stubLook, of package systrap, finds it.
func (t *Table) Look(key uint64, path string) (errno unix.Errno, ok bool) {
	if len(path) > MaxPath {
		return 0, false
	}
	g := current.Load()
	w, n := split(path)
	set := &t.sets[hash(key, w[:n])>>setShift]
	for i := range set {
		e := &set[i]
		seq := e.seq.Load()
		if seq&1 != 0 || !e.holds(key, &w) {
			continue
		}
		r := e.result.Load()
		if !e.stale(g) && e.seq.Load() == seq {
			return unix.Errno(-r), true
		}
	}
	return 0, false
}
