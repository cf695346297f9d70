package steady

import (
	"sync"
	"sync/atomic"
	"testing"
)

func TestMark(t *testing.T) {
	var a, b Mark
	a.Disturb() // nobody has noted anything
	s := a.Note()
	if s.Slot == still || s.Slot >= Slots || !s.Holds() {
		t.Fatalf("stamp %+v does not hold", s)
	}
	if again := a.Note(); again != s {
		t.Errorf("stamp %+v, then %+v", s, again)
	}
	other := b.Note()
	if other.Slot == s.Slot {
		t.Error("two marks in a row share a slot")
	}
	a.Disturb()
	if s.Holds() || !other.Holds() {
		t.Error("not just the stamp of the mark that was disturbed ceased to hold")
	}
	if !(Stamp{}).Holds() {
		t.Error("the zero stamp does not hold")
	}
}

func TestSlotsAreUsedAlike(t *testing.T) {
	used := map[uint32]int{}
	for range 10 * (Slots - 1) {
		used[new(Mark).Note().Slot]++
	}
	if len(used) != Slots-1 {
		t.Errorf("%d slots are used, want %d", len(used), Slots-1)
	}
	if n := used[still]; n != 0 {
		t.Errorf("the slot of what never changes was given away %d times", n)
	}
}

// What was noted never holds once the change that it missed is over.
func TestNoChangeIsMissed(t *testing.T) {
	var m Mark
	var value atomic.Uint64
	var wg sync.WaitGroup
	type seen struct {
		Stamp
		value uint64
	}
	var note atomic.Pointer[seen]
	var stop atomic.Bool
	for range 2 {
		wg.Go(func() {
			for !stop.Load() {
				s := m.Note()
				note.Store(&seen{s, value.Load()})
			}
		})
	}
	for i := uint64(1); i < 100000; i++ {
		value.Store(i)
		m.Disturb()
		if n := note.Load(); n != nil && n.value != i && n.Holds() {
			t.Fatalf("a note of %d holds, it is %d", n.value, i)
		}
	}
	stop.Store(true)
	wg.Wait()
}
