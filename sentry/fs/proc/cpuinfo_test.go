package proc

import (
	"strings"
	"testing"

	"ringfort/sentry/fs/fsutil"
)

func TestCPUInfo(t *testing.T) {
	s := cpuInfo(3)
	for _, want := range []string{"processor\t: 2\n", "vendor_id\t: ", "\nflags\t\t: ", " sse2 ", "\nmodel name"} {
		if !strings.Contains(s, want) {
			t.Errorf("no %q in\n%s", want, s)
		}
	}
	if n := strings.Count(s, "\n\n"); n != 3 {
		t.Errorf("%d blocks", n)
	}
}

func TestKnobs(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range knobs {
		if seen[k.path] {
			t.Errorf("%s twice", k.path)
		}
		seen[k.path] = true
		if k.check != nil && k.value != "" && k.path != "vm/compact_memory" && !k.check(k.value) {
			t.Errorf("%s: its own value %q is refused", k.path, k.value)
		}
	}
}

func TestExtents(t *testing.T) {
	for _, c := range []struct {
		text string
		ok   bool
	}{
		{"0 1000 1\n", true}, {"0 0 4294967295", true}, {"0 1000 1\n1 2000 5", true}, {"", false}, {"0 1000", false},
		{"0 1000 0", false}, {"0 1000 1\n0 2000 1", false}, {"0 10 5\n5 12 1", false}, {"4294967295 0 2", false}, {"x 0 1", false},
	} {
		if _, err := parseExtents(c.text); (err == nil) != c.ok {
			t.Errorf("%q: %v", c.text, err)
		}
	}
}

func TestCPUList(t *testing.T) {
	for mask, want := range map[uint64]string{1: "0", 3: "0-1", 0xb: "0-1,3", ^uint64(0): "0-63", 0: ""} {
		if got := fsutil.CPUList(mask); got != want {
			t.Errorf("%x: %q, want %q", mask, got, want)
		}
	}
}
