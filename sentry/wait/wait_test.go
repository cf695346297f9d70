package wait

import (
	"slices"
	"testing"
)

type teller func(ev Events)

func (f teller) Notify(_ *Waiter, ev Events) { f(ev) }

// TestOrder checks in which order waiters are told, and that each can be removed wherever it is.
func TestOrder(t *testing.T) {
	var q Queue
	var told []string
	ws := map[string]*Waiter{}
	for _, name := range []string{"a", "b", "c", "d"} {
		ws[name] = &Waiter{To: teller(func(Events) { told = append(told, name) })}
	}
	check := func(want ...string) {
		t.Helper()
		told = nil
		q.Notify(Readable)
		if !slices.Equal(told, want) {
			t.Errorf("told %v, not %v", told, want)
		}
	}
	q.AddFirst(ws["a"], Readable) // into an empty queue
	q.Add(ws["b"], Readable)
	q.AddFirst(ws["c"], Readable)
	q.Add(ws["d"], Writable)
	check("c", "a", "b")
	ws["a"].Remove()
	check("c", "b")
	ws["c"].Remove()
	check("b")
	q.AddFirst(ws["a"], Readable)
	ws["b"].Remove()
	ws["d"].Remove()
	check("a")
	ws["a"].Remove()
	check()
	if !q.Empty() {
		t.Error("the queue is not empty")
	}
}
