package ptrace

import (
	"sync/atomic"

	"bytes"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ringfort/platform"
	"ringfort/sentry/arch"
)

// load puts code at 0x400000 of a fresh address space.
func loadCode(t testing.TB, p platform.Platform, code []byte) platform.AddressSpace {
	t.Helper()
	f, err := memFile("test", 0x2000)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.WriteAt(code, 0); err != nil {
		t.Fatal(err)
	}
	as, err := p.NewAddressSpace()
	if err != nil {
		t.Fatal(err)
	}
	host := platform.HostFile{RO: int32(f.Fd()), RW: int32(f.Fd())}
	as.Map(0x400000, 0x1000, host, 0, platform.Read|platform.Exec, false)
	as.Map(0x500000, 0x1000, host, 0x1000, platform.Read|platform.Write, false)
	return as
}

var shared *Platform

func testPlatform(t testing.TB) *Platform {
	t.Helper()
	if shared == nil {
		p, err := New()
		if err != nil {
			t.Fatal(err)
		}
		shared = p
	}
	return shared
}

func TestSwitchEvents(t *testing.T) {
	p := testPlatform(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	as := loadCode(t, p, []byte{
		0xb8, 0x27, 0x00, 0x00, 0x00, // mov eax, 39
		0x0f, 0x05, // syscall
		0xc7, 0x04, 0x25, 0x00, 0x00, 0x50, 0x00, 0x07, 0x00, 0x00, 0x00, // mov dword [0x500000], 7
		0x8b, 0x04, 0x25, 0x00, 0x00, 0x60, 0x00, // mov eax, [0x600000]
	})
	defer as.Release()
	c := p.NewContext(new(atomic.Int32))
	defer c.Release()
	regs := &arch.Registers{Rip: 0x400000}
	fp := &arch.FPState{}
	fp.Reset()
	ev, err := c.Switch(as, regs, fp)
	if err != nil || ev.Kind != platform.EventSyscall || regs.SyscallNumber() != 39 {
		t.Fatalf("first switch: %+v, %v, nr %d", ev, err, regs.OrigRax)
	}
	regs.Rax = 4242
	ev, err = c.Switch(as, regs, fp)
	if err != nil || ev.Kind != platform.EventFault || ev.Fault.Addr != 0x600000 || ev.Fault.Signal != 11 {
		t.Fatalf("second switch: %+v, %v, rip %#x", ev, err, regs.Rip)
	}
	if regs.Rax != 4242 {
		t.Errorf("rax = %d after the system call, want 4242", regs.Rax)
	}
	c.Interrupt()
	if ev, err = c.Switch(as, regs, fp); err != nil || ev.Kind != platform.EventInterrupt {
		t.Fatalf("interrupted switch: %+v, %v", ev, err)
	}
}

// TestGroup has an address space of a group of its own, which goes on when the
// group has been released and no more can be made.
func TestGroup(t *testing.T) {
	p := testPlatform(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	g, err := p.NewGroup()
	if err != nil {
		t.Fatal(err)
	}
	as := loadCode(t, g, []byte{0xb8, 0x27, 0x00, 0x00, 0x00, 0x0f, 0x05, 0xeb, 0xf7}) // mov eax, 39; syscall; jmp to the start
	defer as.Release()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", as.(*space).stub.keeper.PID))
	if err != nil {
		t.Fatal(err)
	}
	var parent int
	fmt.Sscanf(string(stat[bytes.LastIndexByte(stat, ')')+4:]), "%d", &parent)
	if parent != g.PID() {
		t.Errorf("the stub's parent is %d, the group's template %d", parent, g.PID())
	}
	c := g.NewContext(new(atomic.Int32))
	defer c.Release()
	regs := &arch.Registers{Rip: 0x400000}
	fp := &arch.FPState{}
	fp.Reset()
	for range 2 {
		ev, err := c.Switch(as, regs, fp)
		if err != nil || ev.Kind != platform.EventSyscall || regs.SyscallNumber() != 39 {
			t.Fatalf("switch: %+v, %v", ev, err)
		}
		g.Release() // twice is once
	}
	if _, err := g.NewAddressSpace(); err == nil {
		t.Error("a group that was released makes an address space")
	}
	if as, err := p.NewAddressSpace(); err != nil {
		t.Errorf("the platform then: %v", err)
	} else {
		as.Release()
	}
}

// An application that jumps into the stub's code runs its system call
// instructions as stops, never on the host.
func TestJumpIntoStub(t *testing.T) {
	p := testPlatform(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	as := loadCode(t, p, []byte{0xff, 0xe3}) // jmp rbx
	defer as.Release()
	c := p.NewContext(new(atomic.Int32))
	defer c.Release()
	fp := &arch.FPState{}
	fp.Reset()
	regs := &arch.Registers{Rip: 0x400000, Rbx: stubCode + codeCall, Rax: 11, Rdi: 0x400000, Rsi: 0x1000} // munmap
	ev, err := c.Switch(as, regs, fp)
	if err != nil || ev.Kind != platform.EventSyscall || regs.SyscallNumber() != 11 {
		t.Fatalf("system call from the stub's page: %+v, %v", ev, err)
	}
	regs.Rip = 0x400000
	if ev, err = c.Switch(as, regs, fp); err != nil || ev.Kind != platform.EventSyscall {
		t.Fatalf("the forged munmap was carried out: %+v, %v", ev, err)
	}
}

// stopAtCall runs the code of as up to its first system call. The OS thread is locked.
func stopAtCall(t *testing.T, p platform.Platform, as platform.AddressSpace) (platform.Context, *arch.Registers, *arch.FPState) {
	t.Helper()
	c := p.NewContext(new(atomic.Int32))
	regs, fp := &arch.Registers{Rip: 0x400000}, &arch.FPState{}
	fp.Reset()
	if ev, err := c.Switch(as, regs, fp); err != nil || ev.Kind != platform.EventSyscall {
		c.Release()
		t.Fatalf("%+v, %v", ev, err)
	}
	return c, regs, fp
}

// TestKilledStub has the host kill a stub while its thread is stopped. The
// keeper can bury it and goes on making others.
func TestKilledStub(t *testing.T) {
	p := testPlatform(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	as := loadCode(t, p, []byte{0xb8, 0x27, 0x00, 0x00, 0x00, 0x0f, 0x05}) // mov eax, 39; syscall
	c, regs, fp := stopAtCall(t, p, as)
	defer c.Release()
	pid := as.(*space).stub.keeper.PID
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for state := byte(0); state != 'Z'; {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		state = data[bytes.LastIndexByte(data, ')')+2]
	}
	if ev, err := c.Switch(as, regs, fp); err != platform.ErrDead {
		t.Errorf("a dead stub: %+v, %v", ev, err)
	}
	as.Release()
	made := make(chan error, 1)
	go func() {
		for range poolSize + 1 {
			other, err := p.NewAddressSpace()
			if err != nil {
				made <- err
				return
			}
			other.Release()
		}
		made <- nil
	}()
	select {
	case err := <-made:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second): // for a keeper that waits for ever
		t.Fatal("the keeper makes no stub any more")
	}
}

func BenchmarkSwitch(b *testing.B) {
	p := testPlatform(b)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	as := loadCode(b, p, []byte{0xb8, 0x27, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7})
	defer as.Release()
	c := p.NewContext(new(atomic.Int32))
	defer c.Release()
	regs := &arch.Registers{Rip: 0x400000}
	fp := &arch.FPState{}
	fp.Reset()
	for b.Loop() {
		if ev, err := c.Switch(as, regs, fp); err != nil || ev.Kind != platform.EventSyscall {
			b.Fatal(ev, err)
		}
	}
}

func BenchmarkNewSpace(b *testing.B) {
	p := testPlatform(b)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for b.Loop() {
		as := loadCode(b, p, []byte{0xb8, 0x27, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7})
		c := p.NewContext(new(atomic.Int32))
		regs := &arch.Registers{Rip: 0x400000}
		fp := &arch.FPState{}
		fp.Reset()
		if ev, err := c.Switch(as, regs, fp); err != nil || ev.Kind != platform.EventSyscall {
			b.Fatal(ev, err)
		}
		c.Release()
		as.Release()
	}
}

// TestOnDeath has the host kill a stub while the kernel is at work for its only thread: the kernel is told at once.
func TestOnDeath(t *testing.T) {
	p := testPlatform(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	as := loadCode(t, p, []byte{0xb8, 0x27, 0x00, 0x00, 0x00, 0x0f, 0x05}) // mov eax, 39; syscall
	told := make(chan struct{})
	as.(platform.Mortal).OnDeath(func() { close(told) })
	c, _, _ := stopAtCall(t, p, as)
	defer c.Release()
	if !as.(*space).mourner.present.Load() {
		t.Skip("the host does not tell of the end of a thread (Linux 6.9)")
	}
	if err := unix.Kill(as.(*space).stub.keeper.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-told:
	case <-time.After(10 * time.Second): // it is never told
		t.Error("nobody is told of the end of a stub")
	}
	as.Release()
}

// TestKilledMapper has the host kill a stub while the Sentry has it map memory: nobody waits for ever.
func TestKilledMapper(t *testing.T) {
	p := testPlatform(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	as := loadCode(t, p, []byte{0xb8, 0x27, 0x00, 0x00, 0x00, 0x0f, 0x05}) // mov eax, 39; syscall
	c, _, _ := stopAtCall(t, p, as)
	defer c.Release()
	if !as.(*space).mourner.present.Load() {
		t.Skip("the host does not tell of the end of a thread (Linux 6.9)")
	}
	const room = 0x100000000
	for i := range uintptr(8) {
		as.(platform.Mortal).Reserve(room+i<<26, 1<<26)
	}
	flushed := make(chan error, 1)
	go func() { flushed <- as.Flush() }()
	time.Sleep(time.Millisecond) // the later, the more of it has been done
	if err := unix.Kill(as.(*space).stub.keeper.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-flushed:
		if err == nil {
			t.Log("it was done before the stub ended")
		}
	case <-time.After(10 * time.Second): // for ever
		t.Error("who maps memory waits for a stub that has ended")
	}
	as.Release()
}
