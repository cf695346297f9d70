package main

import (
	"fmt"
	"io"
	"strings"
)

// print writes the table to a terminal.
func (b *bench) print(w io.Writer) {
	lines := [][]string{{"row", "operation", "native", "ringfort", "peer", "÷ native", "÷ peer", "asked", "met"}}
	for _, r := range rows {
		if cells := b.table[r.Name]; len(cells) > 0 {
			lines = append(lines, append([]string{r.Name}, r.columns(cells)...))
		}
	}
	align(w, lines)
}

// columns returns the fields of a row but its name.
func (r row) columns(cells map[string]*cell) []string {
	f := []string{r.What}
	for _, c := range []string{native, ours, peer} {
		f = append(f, r.show(cells[c]))
	}
	for _, c := range []string{native, peer} {
		s := ""
		if cells[c] != nil && cells[ours] != nil {
			if v, ok := ratio(cells[ours].value(), cells[c].value()); ok {
				s = fmt.Sprintf("%.2f", v)
				if v < 0.1 {
					s = fmt.Sprintf("%.3f", v)
				}
			}
		}
		f = append(f, s)
	}
	return append(f, r.limits(), string(r.judge(cells)))
}

// show writes a cell: the median, and failures if there were any.
func (r row) show(c *cell) string {
	switch {
	case c == nil:
		return ""
	case len(c.Samples) == 0 && len(c.Failures) == 0:
		return ""
	case len(c.Samples) == 0:
		return strings.SplitN(c.Failures[0], " ", 2)[0]
	case len(c.Failures) > 0:
		return fmt.Sprintf("%s (%d failed)", r.Unit.format(c.value()), len(c.Failures))
	}
	return r.Unit.format(c.value())
}

// align writes lines in columns.
func align(w io.Writer, lines [][]string) {
	width := make([]int, len(lines[0]))
	for _, l := range lines {
		for i, f := range l {
			width[i] = max(width[i], len([]rune(f)))
		}
	}
	for _, l := range lines {
		var s strings.Builder
		for i, f := range l {
			s.WriteString(f + strings.Repeat(" ", width[i]-len([]rune(f))+2))
		}
		fmt.Fprintln(w, strings.TrimRight(s.String(), " "))
	}
}
