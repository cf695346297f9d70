package ktime

import (
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func TestLayout(t *testing.T) {
	var p Params
	for name, at := range map[string][2]uintptr{
		"Seq":       {unsafe.Offsetof(p.Seq), OffSeq},
		"Clocks":    {unsafe.Offsetof(p.Clocks), OffClocks},
		"Base":      {unsafe.Offsetof(p.Base), OffBase},
		"Limit":     {unsafe.Offsetof(p.Limit), OffLimit},
		"Mult":      {unsafe.Offsetof(p.Mult), OffMult},
		"Start":     {unsafe.Offsetof(p.Start), OffStart},
		"StartSize": {unsafe.Sizeof(p.Start[0]), StartSize},
	} {
		if at[0] != at[1] {
			t.Errorf("%s is at %d, not %d", name, at[0], at[1])
		}
	}
	if unsafe.Sizeof(p) > ParamsMax {
		t.Error("Params do not fit a page")
	}
}

// needTSC skips the test where the host itself does not trust the counter.
func needTSC(t testing.TB) {
	b, _ := os.ReadFile("/sys/devices/system/clocksource/clocksource0/current_clocksource")
	if strings.TrimSpace(string(b)) != "tsc" {
		t.Skip("the host's clock is not the time stamp counter")
	}
}

// TestFollowsHost checks over several renewals that the clocks stay with the
// host's.
func TestFollowsHost(t *testing.T) {
	needTSC(t)
	s := NewSource(new(Params), true)
	mono, real := s.Monotonic(), s.Realtime()
	worst := 0.0
	for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); time.Sleep(time.Millisecond) {
		for _, c := range []struct {
			mine *Clock
			host func() int64
		}{{mono, hostMono}, {real, func() int64 { return time.Now().UnixNano() }}} {
			best := math.Inf(1) // a try may be preempted between the two readings
			for range 5 {
				a := c.host()
				m := c.mine.Now()
				b := c.host()
				best = min(best, math.Abs(float64(m)-float64(a+b)/2))
			}
			worst = max(worst, best)
		}
	}
	t.Logf("at most %.0f ns from the host's clock; the host's rate is %.9f ns a cycle", worst, s.rate)
	if worst > 5000 {
		t.Errorf("the clock was %.0f ns from the host's", worst)
	}
}

// TestNeverBack reads the clock on several threads at once.
func TestNeverBack(t *testing.T) {
	needTSC(t)
	s := NewSource(new(Params), true)
	c := s.Monotonic()
	var mu sync.Mutex
	latest := int64(0)
	var wg sync.WaitGroup
	stop := time.Now().Add(400 * time.Millisecond)
	for range 4 {
		wg.Go(func() {
			for time.Now().Before(stop) {
				mu.Lock()
				now := c.Now()
				if now < latest {
					t.Errorf("%d after %d", now, latest)
				}
				latest = now
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// TestOldParameters plays a host whose clock turns out to be behind, ahead and
// set anew.
func TestOldParameters(t *testing.T) {
	const rate = 0.4
	s := &Source{p: new(Params), tsc: true, rate: rate, span: maxSpan}
	at := func(tsc uint64, mono int64) sample { return sample{tsc: tsc, mono: mono, real: mono + 1e18} }
	end := func() int64 { return s.last }
	s.anchor, s.offset = at(0, 0), 1e18
	s.start(at(1e9, 4e8))
	if got := end(); got != 14e8-1 && got != 14e8 {
		t.Fatalf("ends at %d", got)
	}
	// The host is 100 µs behind: no step back, and level again at the end.
	s.learnRate(at(35e8, 14e8-1e5))
	s.start(at(35e8, 14e8-1e5))
	if got := s.p.Start[unix.CLOCK_MONOTONIC].Nsec.Load(); got < 4e8-1 {
		t.Errorf("went back to %d", got)
	}
	if d := end() - (24e8 - 1e5); d > 10 || d < -10 {
		t.Errorf("%d ns off at the end", d)
	}
	// Long idle: straight to the host's time.
	s.start(at(35e12, 14e12))
	if got := s.p.Start[unix.CLOCK_MONOTONIC].Sec.Load(); got != 14000 {
		t.Errorf("%d s after idling", got)
	}
	// The counter starts anew, as on another machine.
	old := s.rate
	s.learnRate(at(1000, 14e12+1e9))
	s.start(at(1000, 14e12+1e9))
	if s.rate != old || s.p.Start[unix.CLOCK_MONOTONIC].Sec.Load() != 14001 {
		t.Errorf("rate %v, at %d s", s.rate, s.p.Start[unix.CLOCK_MONOTONIC].Sec.Load())
	}
	// And runs at another rate: believed when it stays so.
	for i := range int64(maxDoubts + 1) {
		s.learnRate(at(uint64(1000+2e9*(i+1)), 14e12+1e9+1e9*(i+1)))
	}
	if s.rate != 0.5 {
		t.Errorf("rate %v", s.rate)
	}
}

func TestNowAllocatesNothing(t *testing.T) {
	c := NewSource(new(Params), false).Monotonic()
	if n := testing.AllocsPerRun(100, func() { c.Now() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkNow(b *testing.B) {
	needTSC(b)
	c := NewSource(new(Params), true).Monotonic()
	for b.Loop() {
		c.Now()
	}
}

func BenchmarkTimeNow(b *testing.B) {
	for b.Loop() {
		_ = time.Now()
	}
}
