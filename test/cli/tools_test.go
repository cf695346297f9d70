package cli

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestTuning turns the printing of system calls on and off while a program runs that was not told, and asks for what
// there is not.
func TestTuning(t *testing.T) {
	for _, platform := range []string{"ptrace", "systrap"} {
		t.Run(platform, func(t *testing.T) {
			e := newEnv(t)
			id := e.id()
			e.must("--platform", platform, "run", "--detach", "--bundle", e.bundle([]string{"sh", "-c", "while :; do echo >/tmp/f; done"}), id)
			log := strings.TrimSpace(e.must("debug", "--strace", "on", id))
			calls := func() int {
				data, err := os.ReadFile(log)
				if err != nil {
					t.Fatal(err)
				}
				return strings.Count(string(data), `enter="open`)
			}
			if calls() == 0 {
				time.Sleep(100 * time.Millisecond)
			}
			for range 200 {
				if calls() > 0 {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			if calls() == 0 {
				t.Errorf("no system call in %s", log)
			}
			e.must("debug", "--strace", "off", "--log-level", "error", id)
			e.must("exec", id, "true") // whatever was under way has been printed
			before := calls()
			e.must("exec", id, "sh", "-c", "echo >/tmp/g")
			if after := calls(); after != before {
				t.Errorf("%d system calls were printed after the end", after-before)
			}
			for _, args := range [][]string{{"--log-level", "loud"}, {"--strace", "maybe"}, {}} {
				if r := e.runsc(slices.Concat([]string{"debug"}, args, []string{id})...); r.code == 0 || strings.Count(r.errout, "\n") != 1 {
					t.Errorf("%q: exit code %d, %q", args, r.code, r.errout)
				}
			}
		})
	}
}

// metricLine is a sample of Prometheus' text form.
var metricLine = regexp.MustCompile(`^[a-z_]+(\{[a-z]+="([^"\\]|\\.)*"(,[a-z]+="([^"\\]|\\.)*")*\})? (\+Inf|[-+0-9.e]+)$`)

// TestMetricServer asks for the statistics of a host with a container that runs, one that has ended and one that is
// damaged, over TCP and a unix socket.
func TestMetricServer(t *testing.T) {
	e := newEnv(t)
	live, ended, damaged := e.id(), e.id(), e.id()
	bundle := e.bundle([]string{"sleep", "1000"})
	e.must("run", "--detach", "--bundle", bundle, live)
	e.must("run", "--detach", "--bundle", e.bundle([]string{"true"}), ended)
	e.await(ended, "stopped")
	if err := os.MkdirAll(filepath.Join(e.root, damaged), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(e.root, damaged, "state.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "m.sock")
	for _, listen := range []string{"127.0.0.1:0", "unix:" + socket} {
		server := e.command("metric-server", "--listen", listen)
		out, err := server.StdoutPipe()
		if err == nil {
			err = server.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		line, _ := bufio.NewReader(out).ReadString('\n')
		address := strings.TrimSpace(strings.TrimPrefix(line, "listening on "))
		client := &http.Client{Timeout: commandTimeout, Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				if path, ok := strings.CutPrefix(address, "unix:"); ok {
					return net.Dial("unix", path)
				}
				return net.Dial("tcp", address)
			},
		}}
		get := func(path string, status int) string {
			t.Helper()
			resp, err := client.Get("http://runsc" + path)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != status {
				t.Errorf("%s: %s, %v", path, resp.Status, err)
			}
			return string(body)
		}
		page := get("/metrics", 200)
		for _, l := range strings.Split(strings.TrimSpace(page), "\n") {
			if !strings.HasPrefix(l, "# HELP ") && !strings.HasPrefix(l, "# TYPE ") && !metricLine.MatchString(l) {
				t.Errorf("not in the text form: %s", l)
			}
		}
		for _, want := range []string{
			`ringfort_container_info{id="` + live + `",root="` + e.root + `",status="running",bundle="` + bundle + `"} 1`,
			`ringfort_container_info{id="` + ended + `",root="` + e.root + `",status="stopped",`,
			`ringfort_container_info{id="` + damaged + `",root="` + e.root + `",status="damaged"} 1`,
			`ringfort_container_processes{id="` + live + `",root="` + e.root + `"} 1`,
			`ringfort_scrape_errors 1`,
		} {
			if !strings.Contains(page, want) {
				t.Errorf("no %s in\n%s", want, page)
			}
		}
		for name, above := range map[string]string{"cpu_seconds_total": "0", "memory_usage_bytes": "0", "application_memory_bytes": "0"} {
			re := regexp.MustCompile(`ringfort_container_` + name + `\{id="` + live + `"[^}]*\} (.*)`)
			if m := re.FindStringSubmatch(page); m == nil || m[1] == above {
				t.Errorf("%s: %q", name, m)
			}
		}
		get("/other", 404)
		if resp, err := client.Post("http://runsc/metrics", "text/plain", nil); err != nil || resp.StatusCode != 405 {
			t.Errorf("POST: %v, %v", resp, err)
		}
		server.Process.Signal(unix.SIGTERM)
		if err := server.Wait(); err != nil {
			t.Errorf("the end of the server: %v", err)
		}
	}
	if r := e.runsc("metric-server", "--listen", "nowhere"); r.code != 1 || strings.Count(r.errout, "\n") != 1 {
		t.Errorf("a bad address: exit code %d, %q", r.code, r.errout)
	}
}

// TestCompletion asks for completions as the scripts of shells do, and runs that of bash.
func TestCompletion(t *testing.T) {
	e := newEnv(t)
	id := e.id()
	e.must("create", "--bundle", e.bundle([]string{"true"}), id)
	for _, c := range []struct {
		words, want, not string
	}{
		{"de", "delete\tremove a stopped container", "create"},
		{"--pl", "--platform\t", "--root"},
		{"--platform|", "systrap", "create"},
		{"--root|" + e.root + "|state|", id + "\tcontainer", ":file"},
		{"--root|" + e.root + "|kill|" + id + "|T", "TERM", "KILL"},
		{"delete|--f", "--force\t", "--bundle"},
		{"create|--bundle|", ":file", id},
		{"exec|c|", ":file", "create"},
		{"help|ev", "events\t", "exec"},
		{"completion|", "fish", ""},
		{"list|--format|", "json", "text"},
	} {
		r := e.finish(exec.Command(binary, append([]string{"__complete"}, strings.Split(c.words, "|")...)...))
		out := r.out
		if r.code != 0 {
			t.Errorf("%s: exit code %d, %s", c.words, r.code, r.errout)
		}
		if !strings.Contains("\n"+out, "\n"+c.want) || c.not != "" && strings.Contains("\n"+out, "\n"+c.not) {
			t.Errorf("%s: %q", c.words, out)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		script := e.must("completion", shell)
		path, err := exec.LookPath(shell)
		if err != nil {
			continue
		}
		if out, err := exec.Command(path, "-n", "-c", script).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", shell, err, out)
		}
	}
	script := e.must("completion", "bash") + `
COMP_WORDS=("` + binary + `" --root "` + e.root + `" state rf-); COMP_CWORD=4; _runsc; printf '%s\n' "${COMPREPLY[@]}"`
	if out, err := exec.Command("bash", "-c", script).CombinedOutput(); err != nil || string(out) != id+"\n" {
		t.Errorf("bash: %v, %q", err, out)
	}
}

// TestHelp has a page for every command, with usage, a text and an example.
func TestHelp(t *testing.T) {
	e := newEnv(t)
	_, list, _ := strings.Cut(e.must("help"), "Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	commands := strings.Split(list, "\n")
	if len(commands) < 20 {
		t.Fatalf("only %d commands: %s", len(commands), list)
	}
	for _, l := range commands {
		name := strings.Fields(l)[0]
		page := e.must(name, "--help")
		parts := strings.Split(page, "\n\n")
		if len(parts) < 4 || !strings.Contains(parts[1], "Usage: runsc [global options] "+name) || len(parts[2]) < 40 || !strings.Contains(page, "\nExamples:\n  ") {
			t.Errorf("%s --help:\n%s", name, page)
		}
		for _, line := range strings.Split(page, "\n") {
			if len(line) > 140 {
				t.Errorf("%s --help: a line of %d bytes: %s", name, len(line), line)
			}
		}
		if page != e.must("help", name) {
			t.Errorf("help %s and %s --help differ", name, name)
		}
	}
}
