package systrap

import "testing"

// A machine whose cores others keep busy costs a slice of theirs at each attempt: attempts become rare, and are many again
// when there is peace.
func TestRestGrows(t *testing.T) {
	const slice, most = 5 * minRest, 64 * minRest
	var r rest
	now, lost, tries := uint64(1<<40), uint64(0), 0
	for start := now; now-start < 1<<34; {
		if !r.over(now) {
			now = r.end.Load()
		}
		since := now + minRest/8
		now = since + slice
		r.begin(since, now, most)
		lost, tries = lost+slice, tries+1
	}
	if share := float64(lost) / (1 << 34); share > 0.1 {
		t.Errorf("%d attempts cost %.0f%% of the time", tries, 100*share)
	}
	now = r.end.Load() + 2*most
	if !r.over(now) {
		t.Fatal("the rest never ends")
	}
	r.begin(now, now, most)
	if got := r.end.Load() - now; got != minRest {
		t.Errorf("after a long peace the rest is %d ticks, want %d", got, minRest)
	}
}
