package boot

import "testing"

func TestParseCPUs(t *testing.T) {
	for list, want := range map[string]uint64{
		"": 0, "0": 1, "1": 2, "0-1": 3, "0,2-3\n": 0b1101, "62-99": 3 << 62, "x": 0, "3-1": 0, "70": 0, "0-18446744073709551615": 0,
	} {
		if got := parseCPUs(list); got != want {
			t.Errorf("%q: %b, want %b", list, got, want)
		}
	}
}
