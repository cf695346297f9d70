package oci

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// version of github.com/opencontainers/runtime-tools; the tags of it are older and do not know cgroups as they are.
const version = "v0.9.1-0.20250523060157-0ea5ed0382a2"

// passing are the programs that have to pass. Runc 1.1.5 and crun 1.8.1 pass the first group both.
var passing = strings.Fields(`
	config_updates_without_affect create default delete_only_create_resources delete_resources hostname kill
	kill_no_effect killsig linux_cgroups_cpus linux_cgroups_pids linux_cgroups_relative_cpus linux_cgroups_relative_pids
	linux_devices linux_masked_paths linux_ns_nopath linux_ns_path linux_ns_path_type linux_readonly_paths linux_sysctl
	linux_ns_itype linux_uid_mappings mounts process process_oom_score_adj process_user root_readonly_true state

	hooks_stdin linux_cgroups_devices linux_cgroups_relative_devices linux_rootfs_propagation linux_seccomp
	process_capabilities process_capabilities_fail process_rlimits_fail
`)

// failing are the others, each with its reason.
var failing = map[string]string{
	"delete":                         "it wants a container that was created and not started not to be deleted; engines rely on that it is, and runc and crun do it",
	"linux_cgroups_blkio":            "this kernel has no blkio.weight; so with runc and crun",
	"linux_cgroups_relative_blkio":   "this kernel has no blkio.weight; so with runc and crun",
	"linux_cgroups_hugetlb":          "no hugetlb controller under cgroup v1 here; so with runc and crun",
	"linux_cgroups_relative_hugetlb": "no hugetlb controller under cgroup v1 here; so with runc and crun",
	"linux_cgroups_memory":           "the kernel has no limit of kernel memory any more; so with runc and crun",
	"linux_cgroups_relative_memory":  "the kernel has no limit of kernel memory any more; so with runc and crun",
	"linux_cgroups_network":          "no net_cls and net_prio controllers here; so with runc and crun",
	"linux_cgroups_relative_network": "no net_cls and net_prio controllers here; so with runc and crun",
	"linux_mount_label":              "there is no SELinux in a sandbox: linux.mountLabel is refused by name; so with runc, and crun takes it without effect",
	"linux_process_apparmor_profile": "there is no AppArmor in a sandbox: process.apparmorProfile is refused by name; so with runc and crun",
	"misc_props":                     "it starts a program that is not in its bundle; so with runc and crun",
	"pidfile":                        "it wants a container that has ended to take a signal, which the program kill forbids; so with runc and crun",
	"process_rlimits":                "its helper is built with a Go that raises RLIMIT_NOFILE by itself; so with runc and crun",
	"start":                          "it wants a container without a process to be created and started; so with runc and crun",
}

// empty are the programs that report no case whatever happens: their plan is "1..0" with any runtime.
var empty = strings.Fields("hooks poststart poststart_fail poststop poststop_fail prestart prestart_fail")

// programs returns the directory of the programs, which it builds if they are not there.
func programs(t *testing.T) string {
	cache := os.Getenv("RINGFORT_ENGINES")
	if cache == "" {
		cache = "/var/cache/ringfort/engines"
	}
	dir := filepath.Join(cache, "runtime-tools-"+version)
	if _, err := os.Stat(filepath.Join(dir, ".complete")); err == nil {
		return dir
	}
	t.Log("building the validation programs in ", dir, " (once)")
	src := t.TempDir()
	// The module's own vendor directory is not whole in the module cache, and must not be used.
	script := `set -e
src=$1 dir=$2 module=github.com/opencontainers/runtime-tools@$3
from=$(cd / && go mod download -json "$module" | sed -n 's/^.*"Dir": "\(.*\)",*$/\1/p')
cp -r --no-preserve=mode "$from/." "$src" && rm -rf "$src/vendor" && mkdir -p "$dir" && cd "$src"
export CGO_ENABLED=0 GOFLAGS=-mod=mod
go build -tags 'netgo osusergo' -o "$dir/" $(go list -f '{{if eq .Name "main"}}{{.ImportPath}}{{end}}' ./validation/...)
go build -tags 'netgo osusergo' -o "$dir/runtimetest" ./cmd/runtimetest
cp rootfs-amd64.tar.gz "$dir/" && touch "$dir/.complete"`
	if out, err := exec.Command("sh", "-c", script, "sh", src, dir, version).CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return dir
}

// runtime returns the runtime under test as one path without arguments, which is all that the programs take.
func runtime(t *testing.T) (path string, peer bool) {
	if p := os.Getenv("PEER"); p != "" {
		return p, true
	}
	binary := os.Getenv("RUNSC")
	if binary == "" {
		t.Skip("RUNSC names no binary")
	}
	dir := t.TempDir()
	path = filepath.Join(dir, "runsc")
	script := fmt.Sprintf("#!/bin/sh\nexec '%s' --root '%s/state' \"$@\"\n", binary, dir)
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path, false
}

var (
	notOK   = regexp.MustCompile(`(?m)^\s*not ok.*$`)
	noCases = regexp.MustCompile(`(?m)^1\.\.0\b`)
	someOK  = regexp.MustCompile(`(?m)^ok \d+ - `)
)

// run runs a program and tells what is wrong, "" if it passes; nothing: it has no case.
func run(dir, tmp, name, runtime string) (wrong string, nothing bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute) // for a hung runtime, not a measure
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(dir, name))
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "RUNTIME="+runtime, "TMPDIR="+tmp)
	var out, errout bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errout
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	bad := notOK.FindAllString(out.String(), 5)
	if err != nil || len(bad) > 0 {
		return fmt.Sprintf("%v; %.500s; %.500s", err, strings.Join(bad, "; "), strings.TrimSpace(errout.String())), false
	}
	return "", noCases.MatchString(out.String()) && !someOK.MatchString(out.String())
}

// removeCgroups takes away the directories of the programs' cgroups, which they leave with any runtime.
func removeCgroups() {
	tops, _ := filepath.Glob("/sys/fs/cgroup/*/testdir")
	for _, top := range append(tops, "/sys/fs/cgroup/testdir") {
		var dirs []string
		filepath.WalkDir(top, func(path string, e os.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for _, d := range slices.Backward(dirs) {
			os.Remove(d)
		}
	}
}

// TestValidation runs every program and holds what it does against the lists, both ways: a named failure that passes
// is a list to be mended.
func TestValidation(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	path, peer := runtime(t)
	dir, tmp := programs(t), t.TempDir()
	t.Cleanup(removeCgroups)
	known := map[string]string{}
	for _, n := range passing {
		known[n] = "pass"
	}
	for n := range failing {
		known[n] = "fail"
	}
	for _, n := range empty {
		known[n] = "empty"
	}
	var passed atomic.Int32
	var mu sync.Mutex // guards known
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := e.Name()
		if name == "runtimetest" || strings.Contains(name, ".") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			// Those of cgroups and resources share one name. killsig sends its signal as soon as the shell is said to run, which
			// ignores it, as the first process, until it has come to its trap: it must not wait for a core.
			if !strings.Contains(name, "cgroups") && !strings.Contains(name, "resources") && name != "killsig" {
				t.Parallel()
			}
			wrong, nothing := run(dir, tmp, name, path)
			got := "pass"
			if wrong != "" {
				got = "fail"
			} else if nothing {
				got = "empty"
			}
			if got == "pass" {
				passed.Add(1)
			}
			mu.Lock()
			want := known[name]
			delete(known, name)
			mu.Unlock()
			switch {
			case peer:
				t.Logf("%s: %s", got, wrong)
			case want == "":
				t.Errorf("a program that is on no list: %s: %s", got, wrong)
			case want != got:
				t.Errorf("%s, on the list of %s: %s", got, want, wrong)
			case want == "fail":
				t.Logf("fails, as named: %s", failing[name])
			}
		})
	}
	// Cleanups run when the programs beside each other have ended.
	t.Cleanup(func() {
		t.Logf("%d programs pass", passed.Load())
		for name := range known {
			if !peer && flag.Lookup("test.run").Value.String() == "" {
				t.Errorf("there is no program %s", name)
			}
		}
	})
}
