// Command bench measures the sandbox beside native Linux, and beside another
// OCI runtime given by --peer, all in turns in one run, and prints a table of
// medians, ratios and limits.
//
//	make bench BENCHFLAGS="--peer=PATH --write"      the whole table (10 to 15 minutes)
//
// To tune by, the small operations only, in about a minute (less with --only
// or without --peer), after a build of the binary under test:
//
//	go build -o /tmp/runsc ./runsc
//	RUNSC=/tmp/runsc go run ./test/bench --quick --runs=3 --only='^(getpid|fstat|busy/.*)$'
//	RUNSC=/tmp/runsc go run ./test/bench --quick --runs=3 --platform=systrap --peer=/path/to/other/runsc
//
// --only is a regular expression over the names in the table's first column.
// It needs root and gcc; without --quick also what test/install.sh bench makes.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
)

// options are the command line.
type options struct {
	runs            int
	peer, peerFlags string
	platform, flags string
	only            string
	quick, write    bool
}

// bench is one run of everything.
type bench struct {
	options
	dir      string
	runtimes []*runtime
	picked   map[string]bool
	table    table
	machine  machine
	log      io.Writer
}

func main() {
	var o options
	flag.IntVar(&o.runs, "runs", 5, "how often everything is measured; medians are shown")
	flag.StringVar(&o.peer, "peer", "", "another OCI runtime to measure beside")
	flag.StringVar(&o.peerFlags, "peer-flags", "", "global options for the peer, split at spaces")
	flag.StringVar(&o.platform, "platform", "", "platform of ours (default: the runtime's)")
	flag.StringVar(&o.flags, "flags", "", "more global options for ours, split at spaces")
	flag.StringVar(&o.only, "only", "", "measure only the rows whose name matches this regular expression")
	flag.BoolVar(&o.quick, "quick", false, "the small operations only")
	flag.BoolVar(&o.write, "write", false, "write docs/performance.md, .json and .svg")
	flag.Parse()
	err := hide()
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		err = run(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	only, err := regexp.Compile(o.only)
	if err != nil {
		return err
	}
	if o.write && (o.quick || o.only != "") {
		return fmt.Errorf("--write needs the whole table: leave out --quick and --only")
	}
	b := &bench{options: o, table: table{}, machine: thisMachine(), picked: map[string]bool{}, log: os.Stderr}
	for _, r := range pick(only) {
		b.picked[r.Name] = true
	}
	if b.runtimes, err = o.runtimes(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "ringfort-bench"); err != nil {
		return err
	}
	defer unmount(b.dir)
	if err := compile(b.dir); err != nil {
		return err
	}
	jobs := b.jobs()
	if err := b.roots(jobs); err != nil {
		return err
	}
	b.rounds(ctx, jobs)
	b.print(os.Stdout)
	if ctx.Err() == nil && o.write {
		return b.save("docs")
	}
	return ctx.Err()
}

// runtimes returns the columns: native, ours, and the peer if there is one.
func (o options) runtimes() ([]*runtime, error) {
	runsc := os.Getenv("RUNSC")
	if runsc == "" {
		return nil, fmt.Errorf("set RUNSC to the binary to measure (make bench does)")
	}
	mine := &runtime{column: ours, binary: runsc, flags: strings.Fields(o.flags)}
	if o.platform != "" {
		mine.flags = append(mine.flags, "--platform="+o.platform)
	}
	all := []*runtime{{column: native}, mine}
	if o.peer != "" {
		all = append(all, &runtime{column: peer, binary: o.peer, flags: strings.Fields(o.peerFlags)})
	}
	for _, rt := range all[1:] {
		if _, err := os.Stat(rt.binary); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// jobs returns what is to be run.
func (b *bench) jobs() (jobs []*job) {
	all := append(microJobs(), startJob(), ptraceJob())
	all = append(all, b.macroJobs()...)
	all = append(all, b.serverJobs()...)
	for _, j := range all {
		if j.quick || !b.quick {
			jobs = append(jobs, j)
		}
	}
	return jobs
}

// roots checks that the root file systems are there that the jobs need.
func (b *bench) roots(jobs []*job) error {
	for _, j := range jobs {
		if j.root == "" || len(b.wanted(j, native)) == 0 {
			continue
		}
		if _, err := os.Stat(j.root); err != nil {
			return fmt.Errorf("no root file system in %s (test/install.sh bench makes it): %w", j.root, err)
		}
	}
	return nil
}

// rounds measures everything again and again, the runtimes taking turns, so
// that whatever drifts hits all alike.
func (b *bench) rounds(ctx context.Context, jobs []*job) {
	for i := range b.runs {
		fmt.Fprintf(b.log, "round %d of %d\n", i+1, b.runs)
		for _, j := range jobs {
			for _, rt := range b.runtimes {
				b.measure(ctx, j, rt, b.wanted(j, rt.column))
			}
		}
		if !b.quick {
			b.idle(ctx)
		}
	}
}
