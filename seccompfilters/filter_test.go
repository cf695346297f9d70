package seccompfilters

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"runtime/pprof"
	"runtime/trace"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The test program runs itself as a child for what would end it.
const childEnv = "SECCOMPFILTERS_TEST_CHILD"

func TestMain(m *testing.M) {
	if what := os.Getenv(childEnv); what != "" {
		child(what)
		return
	}
	os.Exit(m.Run())
}

func child(what string) {
	rules, err := Sentry("ptrace", false)
	if err == nil {
		err = Install(rules)
	}
	if err != nil {
		os.Stderr.WriteString(err.Error())
		os.Exit(1)
	}
	null := [2]byte{'/', 0}
	path := uintptr(unsafe.Pointer(&null[0]))
	switch what {
	case "nothing":
		var b bytes.Buffer // some work of the runtime
		for range 1000 {
			b.Write(make([]byte, 10000))
		}
		done := make(chan bool)
		for range 8 {
			go func() { done <- true }()
			<-done
		}
	case "openat":
		unix.RawSyscall6(unix.SYS_OPENAT, ^uintptr(99), path, 0, 0, 0, 0)
	case "profile":
		var b bytes.Buffer
		if err := pprof.StartCPUProfile(&b); err != nil {
			panic(err)
		}
		for end := time.Now().Add(50 * time.Millisecond); time.Now().Before(end); {
		}
		pprof.StopCPUProfile()
		if err := pprof.Lookup("heap").WriteTo(&b, 0); err != nil || b.Len() < 100 {
			panic(err)
		}
		if err := trace.Start(&b); err != nil {
			panic(err)
		}
		trace.Stop()
	case "execve":
		unix.RawSyscall(unix.SYS_EXECVE, path, 0, 0)
	case "socket":
		unix.RawSyscall(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM, 0)
	case "kill":
		unix.RawSyscall(unix.SYS_KILL, 1, 0, 0)
	case "mmap":
		unix.RawSyscall6(unix.SYS_MMAP, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_ANON|unix.MAP_PRIVATE, ^uintptr(0), 0)
	case "clone":
		unix.RawSyscall(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0)
	case "thread":
		done := make(chan bool)
		go func() { unix.RawSyscall(unix.SYS_BPF, 0, 0, 0); done <- true }()
		<-done
	case "panic":
		panic("a crash of the kernel")
	case "exit2":
		os.Exit(ExitStatus(2))
	case "listen":
		net.Listen("tcp", "127.0.0.1:0")
	}
	os.Exit(ExitStatus(0))
}

func TestProcessUnderFilter(t *testing.T) {
	for _, c := range []struct {
		what   string
		status int
		says   string
	}{
		{"nothing", 0, ""},
		{"exit2", 2, ""},
		{"profile", 0, ""},
		{"openat", CrashStatus, "forbidden host system call openat (257)"},
		{"execve", CrashStatus, "forbidden host system call execve (59)"},
		{"socket", CrashStatus, "forbidden host system call socket (41)"},
		{"listen", CrashStatus, "forbidden host system call "},
		{"kill", CrashStatus, "forbidden host system call kill (62)"},
		{"mmap", CrashStatus, "forbidden host system call mmap (9)"},
		{"clone", CrashStatus, "forbidden host system call clone (56)"},
		{"thread", CrashStatus, "forbidden host system call bpf (321)"},
		{"panic", CrashStatus, "panic: a crash of the kernel"},
	} {
		t.Run(c.what, func(t *testing.T) {
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), childEnv+"="+c.what)
			var out bytes.Buffer
			cmd.Stderr = &out
			err := cmd.Run()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if got := cmd.ProcessState.ExitCode(); got != c.status {
				t.Errorf("exit status %d (%v), want %d; it said:\n%s", got, cmd.ProcessState.Sys().(syscall.WaitStatus), c.status, &out)
			}
			if !strings.Contains(out.String(), c.says) {
				t.Errorf("does not say %q:\n%s", c.says, &out)
			}
		})
	}
}

// emulate runs a program on one system call, as the kernel would.
func emulate(t *testing.T, prog []unix.SockFilter, nr uint32, args [6]uint64) uint32 {
	data := make([]uint32, 16)
	data[0], data[1] = nr, unix.AUDIT_ARCH_X86_64
	for i, a := range args {
		data[4+2*i], data[5+2*i] = uint32(a), uint32(a>>32)
	}
	var acc uint32
	for pc := 0; pc < len(prog); pc++ {
		ins := prog[pc]
		cond := func(b bool) {
			if b {
				pc += int(ins.Jt)
			} else {
				pc += int(ins.Jf)
			}
		}
		switch ins.Code {
		case loadWord:
			acc = data[ins.K/4]
		case jumpEq:
			cond(acc == ins.K)
		case jumpGt:
			cond(acc > ins.K)
		case andK:
			acc &= ins.K
		case jumpOn:
			pc += int(ins.K)
		case ret:
			return ins.K
		default:
			t.Fatalf("instruction %#x", ins.Code)
		}
	}
	t.Fatal("the program has no end")
	return 0
}

func TestConditions(t *testing.T) {
	const big = 1<<32 + 5
	rules := []Rule{
		allow(1, ""),
		allowIf(2, "", eq(0, big)),
		allowIf(3, "", ne(1, big)),
		allowIf(4, "", masked(2, 0xf0000000f0, 0x1000000010)),
		allowIf(5, "", Cond{Arg: 3, Op: AtMost, Value: big}),
		allowIf(6, "", eq(0, 1), eq(1, 2)),
		allowIf(6, "", eq(0, 7)),
		failIf(7, unix.EACCES, "", eq(0, 1)),
		allowIf(7, "", eq(0, 2)),
	}
	prog, err := Compile(rules, unix.SECCOMP_RET_TRAP)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		nr   uint32
		args [6]uint64
		ok   bool
	}{
		{1, [6]uint64{9, 9, 9, 9, 9, 9}, true},
		{0, [6]uint64{}, false},
		{2, [6]uint64{big}, true}, {2, [6]uint64{5}, false}, {2, [6]uint64{1 << 32}, false},
		{3, [6]uint64{0, big}, false}, {3, [6]uint64{0, 5}, true}, {3, [6]uint64{0, 1 << 32}, true},
		{4, [6]uint64{0, 0, 0x1f0000001f}, true}, {4, [6]uint64{0, 0, 0x10}, false}, {4, [6]uint64{0, 0, 0x1000000020}, false},
		{5, [6]uint64{0, 0, 0, big}, true}, {5, [6]uint64{0, 0, 0, big + 1}, false}, {5, [6]uint64{0, 0, 0, 1 << 33}, false},
		{5, [6]uint64{0, 0, 0, 0xffffffff}, true}, {5, [6]uint64{0, 0, 0, 1<<32 + 4}, true},
		{6, [6]uint64{1, 2}, true}, {6, [6]uint64{1, 3}, false}, {6, [6]uint64{7, 3}, true}, {6, [6]uint64{8, 2}, false},
		{7, [6]uint64{}, false}, {7, [6]uint64{1}, false}, {7, [6]uint64{2}, true},
	} {
		if got := emulate(t, prog, c.nr, c.args) == unix.SECCOMP_RET_ALLOW; got != c.ok {
			t.Errorf("call %d with %#x: allowed %v, want %v", c.nr, c.args, got, c.ok)
		}
	}
	if got := emulate(t, prog, 7, [6]uint64{1}); got != unix.SECCOMP_RET_ERRNO|uint32(unix.EACCES) {
		t.Errorf("a call that is to fail: %#x", got)
	}
}

// TestNever checks what DESIGN forbids, on the data and through the compiled program.
func TestNever(t *testing.T) {
	rules, err := Sentry("ptrace", false)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		if r.Reason == "" {
			t.Errorf("%s has no reason", Name(r.Nr))
		}
		if r.Errno != 0 {
			continue // it is not done
		}
		switch r.Nr {
		case unix.SYS_KILL:
			if !slices.Contains(r.Conds, eq(1, uint64(unix.SIGKILL))) {
				t.Error("kill may be allowed for the end of a stub only")
			}
		case unix.SYS_OPEN, unix.SYS_OPENAT, unix.SYS_OPENAT2, unix.SYS_CREAT, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_SOCKET,
			unix.SYS_CONNECT, unix.SYS_BIND, unix.SYS_LISTEN, unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_TKILL,
			unix.SYS_FORK, unix.SYS_VFORK, unix.SYS_CLONE3, unix.SYS_MOUNT, unix.SYS_SETNS, unix.SYS_UNSHARE, unix.SYS_BPF,
			unix.SYS_IO_URING_SETUP, unix.SYS_USERFAULTFD, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_SETUID, unix.SYS_CAPSET:
			t.Errorf("%s may never be allowed", Name(r.Nr))
		}
	}
	// With the host's network there are sockets, but nothing raw, and of no other family.
	host, err := Sentry("ptrace", true)
	if err != nil {
		t.Fatal(err)
	}
	hostProg, err := Compile(host, unix.SECCOMP_RET_TRAP)
	if err != nil {
		t.Fatal(err)
	}
	const flags = unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	for _, c := range []struct {
		family, kind uint64
		ok           bool
	}{
		{unix.AF_INET, unix.SOCK_STREAM | flags, true}, {unix.AF_INET6, unix.SOCK_DGRAM | flags, true},
		{unix.AF_INET, unix.SOCK_RAW | flags, false}, {unix.AF_PACKET, unix.SOCK_DGRAM | flags, false},
		{unix.AF_NETLINK, unix.SOCK_DGRAM | flags, false}, {unix.AF_UNIX, unix.SOCK_STREAM | flags, false},
	} {
		got := emulate(t, hostProg, unix.SYS_SOCKET, [6]uint64{c.family, c.kind, 0}) == unix.SECCOMP_RET_ALLOW
		if got != c.ok {
			t.Errorf("socket of family %d, kind %#x: %v", c.family, c.kind, got)
		}
	}
	if _, err := Compile(Gofer(true), unix.SECCOMP_RET_TRAP); err != nil {
		t.Error(err)
	}
	if _, err := Sentry("none", false); err == nil {
		t.Error("rules for a platform that is none")
	}
}
