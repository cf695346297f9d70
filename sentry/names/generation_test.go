package names

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// table returns an empty table, with generations of its own for as long as the test runs.
func table(t *testing.T) *Table {
	t.Helper()
	before := current.Load()
	Share(new(Generations))
	t.Cleanup(func() { current.Store(before) })
	return NewTable(make([]byte, TableSize))
}

func TestSlots(t *testing.T) {
	used := map[uint32]bool{}
	for i := range 20000 {
		name := fmt.Sprintf("lib%d.so", i)
		s := Slot(name)
		if s == World || s >= Slots {
			t.Fatalf("%s has slot %d", name, s)
		}
		if s != Slot(name) {
			t.Fatalf("%s has two slots", name)
		}
		used[s] = true
	}
	if len(used) != Slots-1 {
		t.Errorf("20000 names have %d slots, want %d", len(used), Slots-1)
	}
	if s := Slot(""); s == World || s >= Slots {
		t.Errorf("no name has slot %d", s)
	}
}

func TestStamps(t *testing.T) {
	table(t)
	s := Now()
	if !s.still() {
		t.Error("nothing has begun, but the stamp does not hold")
	}
	Begin(7)
	if s.still() {
		t.Error("a stamp holds while a change is under way")
	}
	during := Now()
	if during.still() {
		t.Error("a stamp taken during a change holds")
	}
	End()
	if s.still() || during.still() {
		t.Error("a stamp holds after a change")
	}
	if !Now().still() {
		t.Error("a stamp taken after a change does not hold")
	}
	Begin(7)
	Begin(World)
	End()
	if Now().still() {
		t.Error("a stamp holds while one of two changes is under way")
	}
	End()
	if (Stamp{}).still() {
		t.Error("a stamp that was never taken holds")
	}
}

func TestBeginMovesOneGeneration(t *testing.T) {
	table(t)
	g := current.Load()
	for _, slot := range []uint32{World, 1, 77, Slots - 1} {
		var before [Slots]uint32
		for i := range g {
			before[i] = g[i].Load()
		}
		Begin(slot)
		for i := range g {
			if moved := g[i].Load() != before[i]; moved != (uint32(i) == slot) {
				t.Errorf("a change of slot %d: that of %d moved: %v", slot, i, moved)
			}
		}
		End()
	}
}

// Whoever changes a name and then looks at the table never finds what was so before.
func TestChangesAreSeenAtOnce(t *testing.T) {
	tab := table(t)
	const name = "/dir/file"
	key := Key(unix.SYS_STAT, 0)
	slot := Slot("file")
	var there atomic.Bool
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for !stop.Load() {
				s := Now()
				if !there.Load() {
					tab.Enter(s, key, name, slot, unix.ENOENT)
				}
			}
		})
	}
	defer wg.Wait()
	defer stop.Store(true)
	entered := 0
	for i := range 20000 {
		where := slot
		if i%5 == 0 {
			where = World
		}
		Begin(where)
		there.Store(true)
		if _, ok := tab.Look(key, name); ok {
			t.Fatalf("round %d: the table says that a name is missing which is there", i)
		}
		End()
		if _, ok := tab.Look(key, name); ok {
			t.Fatalf("round %d: the same after the change", i)
		}
		Begin(where)
		there.Store(false)
		End()
		for range 200 {
			if _, ok := tab.Look(key, name); ok {
				entered++
				break
			}
		}
	}
	t.Logf("%d times the others were quick enough", entered)
}

func TestGenerationsComeRoundAgain(t *testing.T) {
	for _, slot := range []uint32{World, Slot("x")} {
		Share(new(Generations))
		tab, key := NewTable(make([]byte, TableSize)), Key(4, 0)
		g := current.Load()
		g[slot].Store(5)
		tab.Enter(Now(), key, "/x", Slot("x"), unix.ENOENT)
		if _, ok := tab.Look(key, "/x"); !ok {
			t.Fatal("not entered")
		}
		g[slot].Store(1<<32 - 1)
		for range 6 {
			Begin(slot)
			End()
		}
		if _, ok := tab.Look(key, "/x"); ok || g[slot].Load() != 5 {
			t.Errorf("slot %d: an answer of 1<<32 changes ago is true again", slot)
		}
		tab.End()
	}
}
