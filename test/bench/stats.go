package main

import "sort"

// median returns the middle of v, the mean of the two middle ones when their
// number is even, and 0 of nothing.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := append([]float64(nil), v...)
	sort.Float64s(s)
	if n := len(s) / 2; len(s)%2 == 0 {
		return (s[n-1] + s[n]) / 2
	} else {
		return s[n]
	}
}

// cell is what was measured of one row with one runtime.
type cell struct {
	// Samples are nanoseconds, bytes or operations a second, by the row's unit.
	Samples []float64 `json:"samples,omitempty"`
	// Failures say why runs gave no sample.
	Failures []string `json:"failures,omitempty"`
}

func (c *cell) value() float64 { return median(c.Samples) }

// table holds the cells by row and runtime.
type table map[string]map[string]*cell

// at returns a cell to add to.
func (t table) at(row, runtime string) *cell {
	if t[row] == nil {
		t[row] = map[string]*cell{}
	}
	if t[row][runtime] == nil {
		t[row][runtime] = &cell{}
	}
	return t[row][runtime]
}

// The runtimes, which are the columns.
const (
	native = "native"
	ours   = "ringfort"
	peer   = "peer"
)
