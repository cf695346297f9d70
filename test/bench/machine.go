package main

import (
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

//go:embed testdata
var testdata embed.FS

// programs are the C programs by name, with what they are made of.
var programs = map[string][]string{
	"guard":   {"guard.c"},
	"hog":     {"hog.c"},
	"true":    {"nop.c"},
	"sleeper": {"sleeper.c"},
	"tracer":  {"tracer.c"},
	"timeit":  {"timeit.c"},
	"micro":   {"micro/micro.c", "micro/calls.c", "micro/memory.c", "micro/process.c", "micro/talk.c", "micro/net.c"},
}

// hide moves the program into a mount namespace of its own by executing itself
// there, so that no mount outlives it, however it ends.
func hide() error {
	const mark = "RINGFORT_BENCH_HIDDEN"
	if os.Getenv(mark) != "" {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		return err
	}
	args := append([]string{"unshare", "--mount", "--propagation", "private", self}, os.Args[1:]...)
	return fmt.Errorf("unshare: %w", syscall.Exec(unshare, args, append(os.Environ(), mark+"=1")))
}

// compile makes the C programs in dir/bin and the small root of the micro
// benchmarks in dir/tiny.
func compile(dir string) error {
	if err := os.CopyFS(filepath.Join(dir, "src"), testdata); err != nil {
		return err
	}
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return err
	}
	for name, sources := range programs {
		args := []string{"-O2", "-static", "-pthread", "-w", "-o", filepath.Join(bin, name)}
		for _, s := range sources {
			args = append(args, filepath.Join(dir, "src/testdata", s))
		}
		if out, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("compile %s: %w\n%s", name, err, out)
		}
	}
	tiny := filepath.Join(dir, "tiny")
	for _, d := range []string{"data", "dev", "proc", "sys", "tmp"} {
		if err := os.MkdirAll(filepath.Join(tiny, d), 0o755); err != nil {
			return err
		}
	}
	return os.CopyFS(filepath.Join(tiny, "bin"), os.DirFS(bin))
}

// unmount takes away what is still mounted below dir, the peer's own mounts
// among it, and removes it.
func unmount(dir string) {
	data, _ := os.ReadFile("/proc/self/mounts")
	lines := strings.Split(string(data), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if f := strings.Fields(lines[i]); len(f) > 1 && strings.HasPrefix(f[1], dir+"/") {
			syscall.Unmount(f[1], syscall.MNT_DETACH)
		}
	}
	os.RemoveAll(dir)
}

// command runs a helper program and puts what it says into the error.
func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}
