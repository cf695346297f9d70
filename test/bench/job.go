package main

import (
	"bufio"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// job is one program run in one sandbox, which fills some rows.
type job struct {
	rows []string
	root string // the root file system it needs, "" for the small one
	// quick jobs are those of --quick.
	quick bool
	// apart says that each row is measured by itself: when one hangs, those
	// behind it are tried again without it.
	apart bool
	busy  bool // hogs keep the cores busy meanwhile
	limit time.Duration
	// args returns the command that measures the rows.
	args func(column string, rows []string) []string
	// prepare puts what the job needs into its root, if anything.
	prepare func(root string) error
	// rename maps names the program prints to rows.
	rename map[string]string
	// platform, if any, is the one to take instead of that asked for.
	platform string
}

// strikes is how often a job may fail with a runtime before it is given up.
const strikes = 2

// results reads the lines "result NAME VALUE".
func results(output string) map[string]float64 {
	r := map[string]float64{}
	for s := bufio.NewScanner(strings.NewReader(output)); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) != 3 || f[0] != "result" {
			continue
		}
		if v, err := strconv.ParseFloat(f[2], 64); err == nil {
			r[f[1]] = v
		}
	}
	return r
}

// measure runs a job once with a runtime and puts what it yields into the table.
func (b *bench) measure(ctx context.Context, j *job, rt *runtime, left []string) {
	if j.platform != "" {
		with := *rt
		if rt.binary != "" {
			with.flags = append(append([]string(nil), rt.flags...), "--platform="+j.platform)
		}
		rt = &with
	}
	for len(left) > 0 && ctx.Err() == nil {
		output, failure := b.once(ctx, j, rt, left)
		if ctx.Err() != nil {
			return
		}
		found := results(output)
		for from, to := range j.rename {
			if v, ok := found[from]; ok {
				found[to] = v
			}
		}
		var missing []string
		for _, name := range left {
			if v, ok := found[name]; ok {
				c := b.table.at(name, rt.column)
				c.Samples = append(c.Samples, v)
			} else {
				missing = append(missing, name)
			}
		}
		if len(missing) == 0 {
			return
		}
		failed := missing
		if left = nil; j.apart {
			failed, left = missing[:1], missing[1:]
		}
		for _, name := range failed {
			fmt.Fprintf(b.log, "  %s, %s: %s\n", rt.column, name, failure)
			c := b.table.at(name, rt.column)
			c.Failures = append(c.Failures, failure)
		}
	}
}

// once runs the job for the rows in a place of its own.
func (b *bench) once(ctx context.Context, j *job, rt *runtime, names []string) (output, failure string) {
	p, err := b.newPlace(j.root)
	if err != nil {
		return "", err.Error()
	}
	defer p.remove()
	if j.prepare != nil {
		if err := j.prepare(p.root); err != nil {
			return "", err.Error()
		}
	}
	if j.busy {
		stop, err := b.hogs()
		if err != nil {
			return "", err.Error()
		}
		defer stop()
	}
	return b.execute(ctx, rt, p, j.limit, j.args(rt.column, names))
}

// wanted returns the rows of the job to measure with a runtime: those asked
// for and not given up.
func (b *bench) wanted(j *job, column string) (names []string) {
	for _, name := range j.rows {
		if b.picked[name] && len(b.table.at(name, column).Failures) < strikes {
			names = append(names, name)
		}
	}
	return names
}
