package cgroupfs

import "testing"

// TestWeight compares with what opencontainers/cgroups sets on the host.
func TestWeight(t *testing.T) {
	for shares, want := range map[uint64]uint64{2: 1, 512: 59, 1024: 100, 2048: 174, 1 << 18: 10000} {
		if got := weight(shares); got != want {
			t.Errorf("%d shares are weight %d, want %d", shares, got, want)
		}
	}
}
