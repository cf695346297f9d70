// Package netns makes network namespaces with names for tests.
package netns

import (
	"os/exec"
	"testing"
)

// New makes a network namespace that ip(8) knows by name, in /run/netns. It goes at the end
// of the test. ip netns add would leave a mount of the directory on itself behind.
func New(t testing.TB, name string) {
	t.Helper()
	const add = `mkdir -p /run/netns && : >/run/netns/"$0" && unshare --net=/run/netns/"$0" true`
	if out, err := exec.Command("sh", "-c", add, name).CombinedOutput(); err != nil {
		t.Fatalf("make network namespace %s: %v: %s", name, err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", name).CombinedOutput(); err != nil {
			t.Errorf("remove network namespace %s: %v: %s", name, err, out)
		}
	})
}
