package syscalls

import (
	"sync/atomic"

	"io"
	"log/slog"
	"testing"

	"golang.org/x/sys/unix"

	"ringfort/platform"
	"ringfort/sentry/arch"
	"ringfort/sentry/auth"
	"ringfort/sentry/fs/tmpfs"
	"ringfort/sentry/kernel"
	"ringfort/sentry/limits"
	"ringfort/sentry/mm"
	"ringfort/sentry/pgalloc"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

// idle is a platform that runs nothing: the test itself is the task.
type idle struct{}

func (idle) NewAddressSpace() (platform.AddressSpace, error) { return idle{}, nil }
func (idle) NewContext(*atomic.Int32) platform.Context       { return idleContext{} }
func (idle) UserAddresses() (min, max uintptr)               { return 0x10000, 0x7fffffff0000 }

func (idle) Map(_, _ uintptr, _ platform.HostFile, _ uint64, _ platform.Prot, _ bool) {}
func (idle) Unmap(_, _ uintptr)                                                       {}
func (idle) Protect(_, _ uintptr, _ platform.Prot)                                    {}
func (idle) Flush() error                                                             { return nil }
func (idle) Release()                                                                 {}

type idleContext struct{ platform.Context }

func (idleContext) Flush(platform.AddressSpace) error { return nil }
func (idleContext) SaveFP(*arch.FPState) error        { return nil }
func (idleContext) Interrupt()                        {}
func (idleContext) Release()                          {}

// newTestTask returns the task of a process that has 1 MiB of memory at the
// address returned, and is never started.
func newTestTask(t *testing.T) (*task, addr) {
	t.Helper()
	mem, err := pgalloc.New()
	if err != nil {
		t.Fatal(err)
	}
	k, err := kernel.New(kernel.Config{
		Platform: idle{}, Memory: mem, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Syscalls: Funcs(), Names: Name,
	})
	if err != nil {
		t.Fatal(err)
	}
	sb := tmpfs.New(mem, tmpfs.Options{Mode: 0o777})
	mounts := vfs.NewMountNamespace(sb, 0, k.RootUserNS())
	var base addr
	tg, err := k.CreateProcess(&kernel.InitArgs{
		Container: k.NewContainer("test", nil, nil), Creds: auth.NewRoot(k.RootUserNS()), Limits: limits.New(), FDs: vfs.NewFDTable(),
		FS: vfs.NewFSContext(mounts.Root(), mounts.Root(), 0o22), Mounts: mounts, UTS: k.RootUTSNS(), IPC: k.RootIPCNS(), PIDNS: k.RootPIDNS(),
	}, func(*task) (*kernel.Image, error) {
		m, err := mm.New(idle{}, mem, mm.NewLayout(0x10000, 0x7fffffff0000, 8<<20, false))
		if err != nil {
			return nil, err
		}
		rw := platform.Prot(platform.Read | platform.Write)
		base, err = m.MMap(mm.MapOpts{Length: 1 << 20, Prot: rw, MaxProt: rw, Populate: true})
		return &kernel.Image{MM: m}, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tg.Leader(), base
}

// TestHotCallsAllocateNothing makes the calls that servers live on.
func TestHotCallsAllocateNothing(t *testing.T) {
	tk, mem := newTestTask(t)
	table := Funcs()
	a := new(arch.SyscallArguments)
	call := func(nr uintptr, args ...uint64) (uintptr, error) {
		*a = arch.SyscallArguments{}
		for i, v := range args {
			a[i] = arch.Argument(v)
		}
		return table[nr](tk, a)
	}
	must := func(nr uintptr, args ...uint64) uintptr {
		t.Helper()
		r, err := call(nr, args...)
		if err != nil {
			t.Fatalf("%s: %v", Name(nr), err)
		}
		return r
	}
	put := func(at addr, v any) addr {
		var err error
		switch v := v.(type) {
		case string:
			_, err = tk.MM().CopyOut(at, append([]byte(v), 0))
		case uint64:
			err = usermem.CopyOutVal(tk.MM(), at, &v)
		case pollFD:
			err = usermem.CopyOutVal(tk.MM(), at, &v)
		case kernel.SigAction:
			err = usermem.CopyOutVal(tk.MM(), at, &v)
		}
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	buf, word := uint64(mem), uint64(mem)+0x2000
	path := uint64(put(mem+0x3000, "/file"))
	file := uint64(must(unix.SYS_OPEN, path, unix.O_CREAT|unix.O_RDWR, 0o600))
	must(unix.SYS_PWRITE64, file, buf, 4096, 0)
	must(unix.SYS_PIPE, word)
	ends, err := usermem.CopyInVal[[2]int32](tk.MM(), addr(word))
	if err != nil {
		t.Fatal(err)
	}
	r, w := uint64(ends[0]), uint64(ends[1])
	fds := uint64(put(mem+0x4000, pollFD{FD: ends[1], Events: unix.POLLOUT}))
	set := uint64(put(mem+0x5000, uint64(1<<(unix.SIGUSR1-1))))
	act := uint64(put(mem+0x6000, kernel.SigAction{Handler: 0x1000}))
	must(unix.SYS_RT_SIGACTION, uint64(unix.SIGUSR1), act, 0, 8)
	ep, ev := uint64(must(unix.SYS_EPOLL_CREATE1, 0)), uint64(put(mem+0x7000, uint64(unix.EPOLLIN)))
	efd := uint64(must(unix.SYS_EVENTFD2, 1, 0))
	must(unix.SYS_EPOLL_CTL, ep, unix.EPOLL_CTL_ADD, efd, ev)
	one := uint64(put(mem+0x7100, uint64(1)))
	self := uint64(tk.TGID())
	ignored := uint64(unix.SIGURG)
	for _, c := range []struct {
		name string
		run  func()
	}{
		{"getpid", func() { must(unix.SYS_GETPID); must(unix.SYS_GETTID); must(unix.SYS_GETPPID) }},
		{"getuid", func() { must(unix.SYS_GETUID); must(unix.SYS_GETEUID); must(unix.SYS_GETGID); must(unix.SYS_GETEGID) }},
		{"kill self, ignored", func() { must(unix.SYS_KILL, self, ignored) }},
		{"tgkill self, blocked", func() {
			must(unix.SYS_RT_SIGPROCMASK, unix.SIG_BLOCK, set, word, 8)
			must(unix.SYS_TGKILL, self, self, uint64(unix.SIGUSR1))
			tk.DequeueSignal(kernel.SignalSetOf(unix.SIGUSR1))
		}},
		{"rt_sigprocmask", func() { must(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, set, word, 8) }},
		{"rt_sigaction", func() { must(unix.SYS_RT_SIGACTION, uint64(unix.SIGUSR1), act, word, 8) }},
		{"futex wake", func() { must(unix.SYS_FUTEX, word, futexWake|futexPrivateFlag, 1) }},
		{"futex wait on another value", func() {
			if _, err := call(unix.SYS_FUTEX, word, futexWait|futexPrivateFlag, 1<<31); err != unix.EAGAIN {
				t.Fatal(err)
			}
		}},
		{"pread", func() { must(unix.SYS_PREAD64, file, buf, 4096, 0) }},
		{"pwrite", func() { must(unix.SYS_PWRITE64, file, buf, 4096, 0) }},
		{"lseek and read", func() { must(unix.SYS_LSEEK, file, 0, 0); must(unix.SYS_READ, file, buf, 100) }},
		{"pipe", func() { must(unix.SYS_WRITE, w, buf, 100); must(unix.SYS_READ, r, buf, 100) }},
		{"poll of a ready descriptor", func() { must(unix.SYS_POLL, fds, 1, ^uint64(0)) }},
		{"clock_gettime", func() { must(unix.SYS_CLOCK_GETTIME, unix.CLOCK_MONOTONIC, word) }},
		{"clock_gettime of the process", func() { must(unix.SYS_CLOCK_GETTIME, unix.CLOCK_PROCESS_CPUTIME_ID, word) }},
		{"fstat", func() { must(unix.SYS_FSTAT, file, word) }},
		{"stat of a cached path", func() { must(unix.SYS_STAT, path, word) }},
		{"open and close of a cached path", func() { must(unix.SYS_CLOSE, uint64(must(unix.SYS_OPEN, path, unix.O_RDONLY))) }},
		{"epoll_wait", func() { must(unix.SYS_EPOLL_WAIT, ep, word, 4, ^uint64(0)) }},
		{"epoll_ctl", func() {
			must(unix.SYS_EPOLL_CTL, ep, unix.EPOLL_CTL_ADD, r, ev)
			must(unix.SYS_EPOLL_CTL, ep, unix.EPOLL_CTL_MOD, r, ev)
			must(unix.SYS_EPOLL_CTL, ep, unix.EPOLL_CTL_DEL, r, 0)
		}},
		{"eventfd", func() { must(unix.SYS_READ, efd, buf, 8); must(unix.SYS_WRITE, efd, one, 8) }},
		{"sched_yield", func() { must(unix.SYS_SCHED_YIELD) }},
		{"mmap and munmap", func() {
			a := must(unix.SYS_MMAP, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS, ^uint64(0), 0)
			must(unix.SYS_MUNMAP, uint64(a), 4096)
		}},
	} {
		c.run()
		n := testing.AllocsPerRun(200, c.run)
		switch {
		case c.name == "tgkill self, blocked":
			n-- // DequeueSignal's own
		case c.name == "mmap and munmap":
			n -= 2 // the vma and its pma
		case c.name == "stat of a cached path":
			n-- // the path
		case c.name == "open and close of a cached path":
			n -= 3 // the path, the description and the file
		}
		if n > 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}
