package systrap

import (
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"ringfort/platform"
	"ringfort/sentry/arch"
)

// TestCatchUp has a context come upon a patch that another thread is making: where the patch leads has to be mapped before
// the context goes on, for it may be at the site.
func TestCatchUp(t *testing.T) {
	done, err := unix.Eventfd(goodResult, unix.EFD_CLOEXEC) // the mapper has answered
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(done)
	ctl := make([]uint64, ctlStride/8)
	s := &space{p: &process{k: &keeper{ctlMem: unsafe.Pointer(&ctl[0]), pacer: newPacer()}, done: done}}
	c := &context{k: s.p.k, space: s}
	c.state.Store(running)

	s.patchMu.Lock()
	s.patching.Store(true)
	caught := make(chan error)
	go func() { caught <- c.catchUp(s, &arch.Registers{}) }()
	select {
	case <-caught:
		t.Error("the context did not wait for the patch")
	case <-time.After(20 * time.Millisecond):
	}
	s.Map(tableAddr, tableSize, platform.HostFile{RO: 7, RW: -1}, 0, platform.Read, false)
	s.endPatching()
	s.patchMu.Unlock()
	if err := <-caught; err != nil {
		t.Fatal(err)
	}
	first := (*entry)(unsafe.Add(s.p.ctl(), ctlEntries))
	if s.pending.Load() || first[0] != unix.SYS_MMAP || first[1] != tableAddr {
		t.Errorf("the context goes on, and what the patch has queued is not carried out: %v", *first)
	}
}
