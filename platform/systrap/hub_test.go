package systrap

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// member returns a context with a seat, whose word is its own.
func member(t *testing.T, k *keeper) (*context, *uint32) {
	c := &context{k: k, ready: new(atomic.Int32), seat: seat{at: noSeat}}
	if !k.pacer.hub.join(c) {
		t.Fatal("no seat")
	}
	word := new(uint32)
	c.seat.word.Store(word)
	c.seat.until.Store(^uint64(0))
	return c, word
}

// await waits for ever: who lost its core may have to wait again.
func await(h *hub, c *context) {
	for !h.wait(c) {
	}
}

// TestHubTurns has each member wait often for a stub of its own: no turn is lost, whoever
// looks.
func TestHubTurns(t *testing.T) {
	const turns = 2000
	k := &keeper{pacer: newPacer()}
	var all sync.WaitGroup
	for range len(k.pacer.hub.seats) {
		c, word := member(t, k)
		go func() { // the stub
			for n := 0; n < turns; {
				if atomic.CompareAndSwapUint32(word, stateApp, stateSentry) {
					n++
				}
				runtime.Gosched()
			}
		}()
		all.Go(func() {
			for range turns {
				await(&k.pacer.hub, c)
				atomic.StoreUint32(word, stateApp)
			}
			k.pacer.hub.part(c)
		})
	}
	all.Wait()
	if n := k.pacer.hub.taken.Load(); n != 0 {
		t.Errorf("%d seats are taken at the end", n)
	}
}

// TestHubPassesOn lets one member go away for good when it has been served: the others are
// looked for all the same, those that linger as well.
func TestHubPassesOn(t *testing.T) {
	k := &keeper{pacer: newPacer()}
	h := &k.pacer.hub
	first, ready := member(t, k)
	second, word := member(t, k)
	third, _ := member(t, k)
	wake := make(chan struct{}, 1)
	third.seat.wake = wake
	third.seat.word.Store(nil)
	var others sync.WaitGroup
	for _, c := range []*context{second, third} {
		others.Go(func() { await(h, c) })
	}
	atomic.StoreUint32(ready, stateSentry)
	await(h, first)
	wake <- struct{}{}
	atomic.StoreUint32(word, stateSentry)
	others.Wait()
}

// TestHubLate has members wait for what does not come.
func TestHubLate(t *testing.T) {
	k := &keeper{pacer: newPacer()}
	var all sync.WaitGroup
	for range len(k.pacer.hub.seats) {
		c, _ := member(t, k)
		c.seat.until.Store(tsc())
		all.Go(func() {
			if k.pacer.hub.wait(c) {
				t.Error("found what is not there")
			}
		})
	}
	all.Wait()
}

// TestHubFull refuses who finds no seat.
func TestHubFull(t *testing.T) {
	k := &keeper{pacer: newPacer()}
	for range len(k.pacer.hub.seats) {
		member(t, k)
	}
	if k.pacer.hub.join(&context{k: k, seat: seat{at: noSeat}}) {
		t.Error("more seats than there are")
	}
}
