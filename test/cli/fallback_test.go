package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// withoutListeners is a program that runs another where seccomp(2) makes no listeners: systrap cannot be.
const withoutListeners = `
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int argc, char **argv) {
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), // the number
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_seccomp, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 24), // the second argument
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, SECCOMP_FILTER_FLAG_NEW_LISTENER, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {sizeof code / sizeof *code, code};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog)) return 99;
	execv(argv[1], argv + 1);
	return 98;
}`

// TestFallback runs a sandbox where systrap cannot be: on ptrace, and the log says why. Who asks for systrap is told.
func TestFallback(t *testing.T) {
	before := filepath.Join(t.TempDir(), "without-listeners")
	gcc := exec.Command("gcc", "-Wall", "-static", "-o", before, "-x", "c", "-")
	gcc.Stdin = strings.NewReader(withoutListeners)
	if out, err := gcc.CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	run := func(platform string) (result, string) {
		e := newEnv(t)
		log := filepath.Join(t.TempDir(), "log")
		cmd := e.command("--platform", platform, "--debug-log", log, "run", "--bundle", e.bundle([]string{"echo", "here"}), e.id())
		cmd.Path, cmd.Args = before, append([]string{before, cmd.Path}, cmd.Args[1:]...)
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
