package main

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		v    []float64
		want float64
	}{
		{nil, 0}, {[]float64{3}, 3}, {[]float64{3, 1}, 2}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 3, 2}, 2.5},
	} {
		if got := median(c.v); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.v, got, c.want)
		}
	}
	v := []float64{3, 1, 2}
	if median(v); v[0] != 3 {
		t.Error("median sorted its argument")
	}
}

// cells makes the cells of a row: native, ours and the peer's, 0 for none.
func cells(n, o, p float64) map[string]*cell {
	m := map[string]*cell{}
	for column, v := range map[string]float64{native: n, ours: o, peer: p} {
		if v != 0 {
			m[column] = &cell{Samples: []float64{v}}
		}
	}
	return m
}

func TestJudge(t *testing.T) {
	failed := cells(100, 100, 100)
	failed[ours].Failures = []string{"timeout"}
	for _, c := range []struct {
		name  string
		row   row
		cells map[string]*cell
		want  verdict
	}{
		{"nothing asked", row{}, cells(1, 2, 3), free},
		{"within native", row{VsNative: 1}, cells(100, 100, 0), met},
		{"as printed", row{VsNative: 1}, cells(100, 100.4, 0), met},
		{"beyond native", row{VsNative: 1}, cells(100, 101, 0), missed},
		{"no native", row{VsNative: 1}, cells(0, 101, 0), unknown},
		{"within both", row{VsNative: 6, VsPeer: 0.35}, cells(100, 600, 2000), met},
		{"beyond the peer", row{VsNative: 6, VsPeer: 0.35}, cells(100, 600, 1000), missed},
		{"no peer", row{VsNative: 6, VsPeer: 0.35}, cells(100, 600, 0), unknown},
		{"no peer, beyond native", row{VsNative: 6, VsPeer: 0.35}, cells(100, 700, 0), missed},
		{"absolute", row{Absolute: 9000}, cells(0, 9000, 0), met},
		{"beyond absolute", row{VsPeer: 0.5, Absolute: 9000}, cells(1, 9001, 90000), missed},
		{"throughput", row{Unit: perSecond, VsPeer: 2.5}, cells(0, 2500, 1000), met},
		{"too little throughput", row{Unit: perSecond, VsPeer: 2.5}, cells(0, 2400, 1000), missed},
		{"a run failed", row{VsNative: 2}, failed, missed},
		{"not measured", row{VsNative: 2}, cells(1, 0, 1), unknown},
		{"a small ratio is not rounded away", row{VsPeer: 0.15}, cells(0, 154, 1000), missed},
	} {
		if got := c.row.judge(c.cells); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestFormat(t *testing.T) {
	for _, c := range []struct {
		unit unit
		v    float64
		want string
	}{
		{nanoseconds, 88.31, "88.3 ns"}, {nanoseconds, 999.9, "1 µs"}, {nanoseconds, 9000, "9 µs"}, {nanoseconds, 123456, "123 µs"}, {nanoseconds, 45e6, "45 ms"},
		{nanoseconds, 0, "0 ns"}, {nanoseconds, 100e9, "100 s"}, {byteCount, 1536, "1.5 KiB"}, {byteCount, 16 << 20, "16 MiB"}, {perSecond, 91234, "91.2 k/s"}, {perSecond, 12, "12/s"},
	} {
		if got := c.unit.format(c.v); got != c.want {
			t.Errorf("%v of unit %d is %q, want %q", c.v, c.unit, got, c.want)
		}
	}
}

func TestResults(t *testing.T) {
	got := results("noise\nresult getpid 88.5\nresult bad x\nresult too many 1\nresult wall 12\n")
	if len(got) != 2 || got["getpid"] != 88.5 || got["wall"] != 12 {
		t.Errorf("results: %v", got)
	}
}

// TestRows checks that each row is filled by exactly one job.
func TestRows(t *testing.T) {
	b := &bench{table: table{}}
	by := map[string]int{}
	for _, j := range b.jobs() {
		for _, name := range j.rows {
			by[name]++
		}
	}
	for _, name := range idleRows {
		by[name]++
	}
	for _, r := range rows {
		if by[r.Name] != 1 {
			t.Errorf("row %s is filled by %d jobs", r.Name, by[r.Name])
		}
		delete(by, r.Name)
	}
	if len(by) > 0 {
		t.Errorf("jobs fill rows that are not in the table: %v", by)
	}
	if got := pick(regexp.MustCompile("^busy/")); len(got) != 9 {
		t.Errorf("picked %d busy rows", len(got))
	}
}

// filled is a table with every row.
func filled() *bench {
	b := &bench{table: table{}, options: options{runs: 5}}
	for i, r := range rows {
		b.table[r.Name] = cells(100, float64(50+i*10), 400)
	}
	b.table["pipe"][ours] = &cell{Failures: []string{"timeout after 30s"}}
	return b
}

func TestReports(t *testing.T) {
	b := filled()
	var out, page bytes.Buffer
	b.print(&out)
	if n := strings.Count(out.String(), "\n"); n != len(rows)+3 {
		t.Errorf("the table has %d lines", n)
	}
	b.markdown(&page)
	for _, want := range []string{"| operation | native |", "| timeout |", "- pipe ping-pong, two processes, ringfort: timeout after 30s", "≤ 0.35 × peer"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page has no %q", want)
		}
	}
	data, err := b.json()
	var back struct{ Rows []jsonRow }
	if err != nil || json.Unmarshal(data, &back) != nil || len(back.Rows) != len(rows) || back.Rows[0].Cells[peer].Samples[0] != 400 {
		t.Errorf("JSON: %v\n%s", err, data)
	}
}

func TestChart(t *testing.T) {
	b := filled()
	svg, err := b.table.chart()
	if err != nil || !bytes.Contains(svg, []byte("</svg>")) || !bytes.Contains(svg, []byte("fork+exit+wait")) {
		t.Errorf("chart: %v, %d bytes", err, len(svg))
	}
	for _, bar := range b.table.bars() {
		if strings.HasPrefix(bar.label, "redis") && bar.peers != 0.25 {
			t.Errorf("%s: the peer is %v times slower", bar.label, bar.peers)
		}
	}
	if _, err := (table{}).chart(); err == nil {
		t.Error("a chart of nothing")
	}
}

// TestBelow checks the walk over a process tree.
func TestBelow(t *testing.T) {
	got := below(1, map[int][]int{1: {2, 3}, 3: {4}, 9: {10}})
	if len(got) != 3 {
		t.Errorf("below 1: %v", got)
	}
}
