package metrics

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ringfort/runsc/container"
)

func TestLabels(t *testing.T) {
	for _, c := range []struct {
		labels labels
		want   string
	}{
		{nil, ""},
		{labels{"a", ""}, ""},
		{labels{"a", "1", "b", "", "c", "3"}, `{a="1",c="3"}`},
		{labels{"a", "say \"\\\n\xff"}, `{a="say \"\\\n?"}`},
	} {
		if got := c.labels.String(); got != c.want {
			t.Errorf("%q: %s, want %s", c.labels, got, c.want)
		}
	}
}

func TestReadRequest(t *testing.T) {
	for _, c := range []struct{ text, method, path string }{
		{"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "GET", "/metrics"},
		{"GET /metrics?a=b HTTP/1.0\n\n", "GET", "/metrics"},
		{"GET /metrics\r\n\r\n", "", ""},
		{"GET /metrics HTTP/2\r\n\r\n", "", ""},
		{"\x16\x03\x01 tls hello\r\n\r\n", "", ""},
		{"GET / HTTP/1.1\r\nHost: x\r\n", "", ""}, // it ends before its end
		{"", "", ""},
	} {
		method, path, err := readRequest(strings.NewReader(c.text))
		if method != c.method || path != c.path || (err == nil) != (c.method != "") {
			t.Errorf("%q: %q %q %v", c.text, method, path, err)
		}
	}
}

// TestStuck has a sandbox that takes connections and never answers: the others are on the page in time all the same.
func TestStuck(t *testing.T) {
	root := t.TempDir()
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	var start uint64
	if _, err := fmt.Sscan(strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+2:]))[19], &start); err != nil {
		t.Fatal(err)
	}
	self := map[string]any{"pid": os.Getpid(), "start": start}
	for _, id := range []string{"stuck", "ended"} {
		dir := filepath.Join(root, id)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		state := map[string]any{"stateVersion": 1, "id": id, "status": "running", "created": time.Now()}
		if id == "stuck" {
			state["sentry"], state["init"] = self, self
			l, err := net.Listen("unix", filepath.Join(dir, "control.sock"))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
		}
		data, err := json.Marshal(state)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "state.json"), data, 0o600)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"linux":{}}`), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var page bytes.Buffer
	done := make(chan struct{})
	go func() {
		s := &Source{Dirs: []string{root, root + "/nowhere", "/proc/self/exe"}, Options: container.Options{}, Timeout: 200 * time.Millisecond}
		s.Write(&page)
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second): // much longer than the limit of the round
		t.Fatal("the page waits for a sandbox that does not answer")
	}
	// One that is stuck and one directory that is none; one that is not there has no containers.
	for _, want := range []string{`ringfort_container_info{id="ended",root="` + root + `",status="stopped"} 1`, "ringfort_scrape_errors 2\n"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("no %s in\n%s", want, page.String())
		}
	}
}
