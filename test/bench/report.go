package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// header names the columns that line fills.
var header = []string{"operation", "native", "ringfort", "peer", "÷ native", "÷ peer", "asked", "met"}

// print writes the table to a terminal.
func (b *bench) print(w io.Writer) {
	lines := [][]string{append([]string{"row"}, header...)}
	for _, r := range rows {
		if cells := b.table[r.Name]; len(cells) > 0 {
			lines = append(lines, append([]string{r.Name}, r.line(cells)...))
		}
	}
	align(w, lines)
	yes, no, open := b.table.count()
	fmt.Fprintf(w, "\nmet %d, missed %d, not comparable %d\n", yes, no, open)
}

// count returns how many rows hold their limits, do not, and cannot be judged.
func (t table) count() (yes, no, open int) {
	for _, r := range rows {
		if cells := t[r.Name]; len(cells) > 0 {
			switch r.judge(cells) {
			case met:
				yes++
			case missed:
				no++
			case unknown:
				open++
			}
		}
	}
	return yes, no, open
}

// line returns what stands below the header for a row.
func (r row) line(cells map[string]*cell) []string {
	f := []string{r.What}
	for _, c := range []string{native, ours, peer} {
		f = append(f, r.show(cells[c]))
	}
	return append(f, quotient(cells, native), quotient(cells, peer), r.limits(), string(r.judge(cells)))
}

// quotient writes our value over another's, or nothing.
func quotient(cells map[string]*cell, column string) string {
	if cells[ours] == nil || cells[column] == nil {
		return ""
	}
	v, ok := ratio(cells[ours].value(), cells[column].value())
	switch {
	case !ok:
		return ""
	case v < 1:
		return fmt.Sprintf("%.3f", v)
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// show writes a cell: the median, and failures if there were any.
func (r row) show(c *cell) string {
	switch {
	case c == nil || len(c.Samples) == 0 && len(c.Failures) == 0:
		return ""
	case len(c.Samples) == 0 && strings.HasPrefix(c.Failures[0], "timeout"):
		return "timeout"
	case len(c.Samples) == 0:
		return "failed"
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

// markdown writes the page for the documentation.
func (b *bench) markdown(w io.Writer) {
	yes, no, open := b.table.count()
	fmt.Fprintf(w, `# Performance

Written by `+"`make bench BENCHFLAGS=\"--peer=PATH --write\"`"+` in one run: each row is measured %d times, the
runtimes taking turns, and the figures are medians. Of the rows that are asked something %d hold it, %d do not, and %d could
not be compared.

| | |
|---|---|
| machine | %s |
| kernel | %s |
| load before the run | %s |
| taken | %s |
| ringfort | %s |
| peer | %s |

![Time relative to native Linux](performance.svg)

`, b.runs, yes, no, open, b.machine.CPU, b.machine.Kernel, b.machine.Load, b.machine.Date.Format(time.DateOnly), b.describe(ours), b.describe(peer))
	writeRow := func(f []string) { fmt.Fprintf(w, "| %s |\n", strings.Join(f, " | ")) }
	writeRow(header)
	fmt.Fprintln(w, "|---|---:|---:|---:|---:|---:|---|---|")
	var failures []string
	for _, r := range rows {
		cells := b.table[r.Name]
		if len(cells) == 0 {
			continue
		}
		writeRow(r.line(cells))
		for _, c := range []string{native, ours, peer} {
			if cells[c] != nil && len(cells[c].Failures) > 0 {
				failures = append(failures, fmt.Sprintf("- %s, %s: %s", r.What, c, shorten(cells[c].Failures[0], 160)))
			}
		}
	}
	if len(failures) > 0 {
		fmt.Fprintf(w, "\n## Failed\n\nA run that failed counts as a limit missed.\n\n%s\n", strings.Join(failures, "\n"))
	}
	fmt.Fprint(w, method)
}

// method tells the reader what the rows mean.
const method = `
## How it is measured

- Times of operations are taken inside, by the program that does them; the start of the sandbox is no part of them. A sample of a small operation
  is the median of seven chunks of 15 ms, with the cores busy of 25 ms.
- *Native* is the same program in the same root, in namespaces of its own as a container has them.
- *Cores busy*: a busy loop of ordinary priority outside the sandbox is pinned to each core.
- The Debian root is the lower layer of an overlay mount made afresh for each run, as docker does (what runs have written is
  removed at the end, so that the next one does not pay for removed files); *first* is the first
  time in a new sandbox, when the host's page cache is warm and the sandbox's own caches are cold.
- redis-benchmark, wrk (one thread, 20 connections; one nginx worker) and pgbench (scale 10, 8 clients, one thread, fsync off) run in the
  sandbox of their server, over its loopback.
- *Start* is ` + "`runsc run`" + ` from its execution to its end; natively, entering namespaces and a root with the same mounts.
- *Idle*: ten sandboxes of each runtime at once, all of them asleep; memory is the sum of the PSS of all processes a sandbox
  consists of, CPU time that of their process clocks over ten seconds, times three.
- *getpid on ptrace* is run with --platform=ptrace; native stands for a tracer that does nothing but PTRACE_SYSEMU, get and set
  registers on one core.
`
