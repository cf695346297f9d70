package cli

import (
	"bytes"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// withoutListeners is a program that runs another where seccomp(2) makes no listeners: systrap cannot be.
const withoutListeners = `
import ctypes, os, sys
libc = ctypes.CDLL(None)
class Prog(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
code = bytes.fromhex(sys.argv[1])
buf = ctypes.create_string_buffer(code)
prog = Prog(len(code) // 8, ctypes.addressof(buf))
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.syscall(317, 1, 0, ctypes.byref(prog)) == 0
os.execv(sys.argv[2], sys.argv[2:])
`

// TestFallback runs a sandbox where systrap cannot be: on ptrace, and the log says why. Who asks for systrap is told.
func TestFallback(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("needs python3")
	}
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // the number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_SECCOMP, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 24}, // the second argument
		{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	var code bytes.Buffer
	for _, i := range filter {
		code.Write((*[unsafe.Sizeof(i)]byte)(unsafe.Pointer(&i))[:])
	}
	run := func(platform string) (result, string) {
		e := newEnv(t)
		log := filepath.Join(t.TempDir(), "log")
		cmd := e.command("--platform", platform, "--debug-log", log, "run", "--bundle", e.bundle([]string{"echo", "here"}), e.id())
		cmd.Args = append([]string{"python3", "-c", withoutListeners, hex.EncodeToString(code.Bytes())}, append([]string{cmd.Path}, cmd.Args[1:]...)...)
		cmd.Path = python
		r := e.finish(cmd)
		text, _ := os.ReadFile(log)
		return r, string(text)
	}
	r, log := run("auto")
	if r.code != 0 || r.out != "here\n" || strings.Count(log, "applications run on the slower ptrace platform") != 1 {
		t.Errorf("exit code %d, %q, %.300q, log %.500q", r.code, r.out, r.errout, log)
	}
	if r, _ := run("systrap"); r.code == 0 || r.out != "" || !strings.Contains(r.errout, "stub") {
		t.Errorf("--platform=systrap: exit code %d, %q, %.300q", r.code, r.out, r.errout)
	}
}
