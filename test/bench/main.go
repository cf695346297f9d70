// Command bench measures the sandbox beside native Linux, and beside another OCI
// runtime given by -peer, in one run, and prints medians and ratios.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func main() {
	runs := flag.Int("runs", 5, "how often everything is measured; medians are shown")
	peer := flag.String("peer", "", "another OCI runtime to measure beside")
	flag.Parse()
	if err := bench(*runs, *peer); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// samples are measurements by name, in nanoseconds.
type samples map[string][]float64

func (s samples) add(name string, v float64) { s[name] = append(s[name], v) }

func (s samples) median(name string) float64 {
	v := append([]float64(nil), s[name]...)
	if len(v) == 0 {
		return 0
	}
	sort.Float64s(v)
	return v[len(v)/2]
}

func bench(runs int, peer string) error {
	runsc := os.Getenv("RUNSC")
	if runsc == "" {
		return fmt.Errorf("set RUNSC to the binary to measure (make bench does)")
	}
	dir, err := os.MkdirTemp("", "ringfort-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	root := filepath.Join(dir, "rootfs")
	for _, d := range []string{"bin", "dev", "proc", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return err
		}
	}
	for src, bin := range map[string]string{"tracer.c": filepath.Join(dir, "tracer"), "calls.c": filepath.Join(root, "bin/calls")} {
		if out, err := exec.Command("gcc", "-O2", "-static", "-w", "-o", bin, filepath.Join("test/bench/testdata", src)).CombinedOutput(); err != nil {
			return fmt.Errorf("compile %s: %w\n%s", src, err, out)
		}
	}
	if out, err := exec.Command("cp", "/bin/busybox", filepath.Join(root, "bin/true")).CombinedOutput(); err != nil {
		return fmt.Errorf("busybox: %w: %s", err, out)
	}
	os.Remove("/bin/calls")
	if err := os.Symlink(filepath.Join(root, "bin/calls"), "/bin/calls"); err != nil {
		return err
	}
	defer os.Remove("/bin/calls")

	native, ours, theirs := samples{}, samples{}, samples{}
	for range runs {
		out, err := exec.Command(filepath.Join(dir, "tracer")).Output()
		if err != nil {
			return fmt.Errorf("bare tracer: %w", err)
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
		if err != nil {
			return err
		}
		native.add("sysemu", v)
		if err := calls(native, exec.Command(filepath.Join(root, "bin/calls"))); err != nil {
			return err
		}
		if err := sandbox(ours, runsc, dir, root); err != nil {
			return err
		}
		if peer != "" {
			if err := sandbox(theirs, peer, dir, root); err != nil {
				return err
			}
		}
	}
	report(native, ours, theirs, peer != "")
	return nil
}

// calls adds what a run of the calls program prints.
func calls(s samples, cmd *exec.Cmd) error {
	var errout bytes.Buffer
	cmd.Stderr = &errout
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", cmd.Args[0], err, errout.Bytes())
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		name, value, _ := strings.Cut(line, " ")
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return fmt.Errorf("bad line %q", line)
		}
		s.add(name, v)
	}
	return nil
}

// sandbox measures a runtime: the calls inside, and the start-up of true.
func sandbox(s samples, runtime, dir, root string) error {
	run := func(args ...string) (*exec.Cmd, error) {
		spec := &specs.Spec{
			Version: "1.0.2", Process: &specs.Process{Args: args, Cwd: "/", Env: []string{"PATH=/bin"}}, Root: &specs.Root{Path: root},
			Mounts: []specs.Mount{{Destination: "/proc", Type: "proc", Source: "proc"}, {Destination: "/dev", Type: "tmpfs", Source: "tmpfs"}, {Destination: "/tmp", Type: "tmpfs", Source: "tmpfs"}},
			Linux:  &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: "pid"}, {Type: "mount"}, {Type: "ipc"}, {Type: "uts"}, {Type: "network"}}},
		}
		data, err := json.Marshal(spec)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, "config.json"), data, 0o644); err != nil {
			return nil, err
		}
		id := fmt.Sprintf("bench-%d", time.Now().UnixNano())
		return exec.Command(runtime, "--root", filepath.Join(dir, "state"), "run", "--bundle", dir, id), nil
	}
	cmd, err := run("/bin/calls")
	if err != nil {
		return err
	}
	if err := calls(s, cmd); err != nil {
		return err
	}
	if cmd, err = run("/bin/true", "true"); err != nil {
		return err
	}
	start := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("run of true: %w: %s", err, out)
	}
	s.add("start", float64(time.Since(start)))
	return nil
}

func report(native, ours, theirs samples, peer bool) {
	fmt.Println("| operation | native ns | ringfort ns | ratio | peer ns | ours/peer |")
	fmt.Println("|---|---|---|---|---|---|")
	for _, name := range []string{"getpid", "read1", "pread4k", "stat", "openclose", "mmap4k", "mmap1m", "fork", "start"} {
		n, o := native.median(name), ours.median(name)
		row := fmt.Sprintf("| %s | %.0f | %.0f | %s |", name, n, o, ratio(o, n))
		if peer {
			row += fmt.Sprintf(" %.0f | %s |", theirs.median(name), ratio(o, theirs.median(name)))
		} else {
			row += " | |"
		}
		fmt.Println(row)
	}
	bare := native.median("sysemu")
	fmt.Printf("\nbare SYSEMU round trip, one core: %.0f ns; trapped getpid: %.0f ns; ratio %s\n", bare, ours.median("getpid"), ratio(ours.median("getpid"), bare))
}

func ratio(a, b float64) string {
	if b == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", a/b)
}
