package kubernetes

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// api makes a request of the API server, for what kubectl's own start would blur.
func api(ctx context.Context, method, path string, body []byte) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("https://%s:%d%s", gateway, lab.ports.api, path), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer lab")
	r.Header.Set("Content-Type", "application/json")
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 {
		data, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, data)
	}
	return resp.Body, nil
}

// readyTime makes a pod and returns how long it takes until the API server has it as ready.
func readyTime(t *testing.T, manifest map[string]any) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // for a hung pod
	defer cancel()
	body, err := json.Marshal(manifest)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	made, err := api(ctx, "POST", "/api/v1/namespaces/default/pods", body)
	if err != nil {
		t.Fatal(err)
	}
	made.Close()
	for { // until a watch is not interrupted
		watch, err := api(ctx, "GET", "/api/v1/namespaces/default/pods?watch=true", nil)
		if err != nil {
			t.Fatal(err)
		}
		ready := false
		for events := json.NewDecoder(watch); !ready; {
			var e struct{ Object podStatus }
			if events.Decode(&e) != nil {
				break
			}
			ready = slices.Contains(e.Object.Status.Conditions, condition{"Ready", "True"})
		}
		watch.Close()
		if ready {
			return time.Since(begin)
		}
		if ctx.Err() != nil {
			t.Fatal("the pod is not ready")
		}
	}
}

// A podStatus is as much of a pod as is looked at here.
type podStatus struct {
	Status struct{ Conditions []condition }
}

type condition struct{ Type, Status string }

// TestReady has the documented pod made again and again with each runtime, and logs how long it took to be ready. How often
// is in POD_ROUNDS. No figure fails the test.
func TestReady(t *testing.T) {
	class(t)
	must(t, "", "delete", "pod", "web", "--grace-period=1", "--timeout=60s")
	var pod map[string]any
	if err := json.Unmarshal([]byte(must(t, manifestOf(t, "Pod"), "create", "--dry-run=client", "-o", "json", "-f", "-")), &pod); err != nil {
		t.Fatal(err)
	}
	rounds, _ := strconv.Atoi(os.Getenv("POD_ROUNDS"))
	times := map[string][]time.Duration{}
	for range max(rounds, 1) {
		for _, runtime := range []string{"runc", "runsc", "runsc-sandbox"} {
			spec := pod["spec"].(map[string]any)
			spec["runtimeClassName"] = runtime
			if runtime == "runc" {
				delete(spec, "runtimeClassName")
			}
			times[runtime] = append(times[runtime], readyTime(t, pod))
			must(t, "", "delete", "pod", "web", "--grace-period=1", "--timeout=60s")
		}
	}
	for runtime, all := range times {
		slices.Sort(all)
		t.Logf("%s: ready after %v: median %v", runtime, all, all[len(all)/2])
	}
}

// manifestOf is the documented manifest of a kind.
func manifestOf(t *testing.T, kind string) string {
	t.Helper()
	for _, m := range strings.Split(manifests(t), "---\n") {
		if strings.Contains(m, "kind: "+kind+"\n") {
			return m
		}
	}
	t.Fatalf("no %s is documented", kind)
	return ""
}
