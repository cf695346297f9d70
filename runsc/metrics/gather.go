package metrics

import (
	"io"
	"math"
	"sync"
	"time"

	"ringfort/runsc/container"
	"ringfort/runsc/control"
)

// A Source is where containers are.
type Source struct {
	// Dirs are state directories.
	Dirs []string
	// Options are those of runsc; Root is set to each of Dirs.
	Options container.Options
	// Timeout bounds a whole round.
	Timeout time.Duration
}

// width is how many sandboxes are asked at once.
const width = 16

// a sample is what is known of one container.
type sample struct {
	report *container.Report
	pod    labels
	usage  *container.Usage
	err    error
}

// Write gathers from all containers and prints the page.
func (s *Source) Write(w io.Writer) {
	begin := time.Now()
	p := &page{}
	p.add("ringfort_build_info", "gauge", "Always 1; the version is the label.", 1, labels{"version", s.Options.Version})
	failed := 0
	for _, dir := range s.Dirs {
		opts := s.Options
		opts.Root = dir
		ids, err := container.List(&opts)
		if err != nil {
			failed++
			continue
		}
		for _, one := range s.samples(&opts, ids, begin.Add(s.Timeout)) {
			if one == nil || one.err != nil {
				failed++
			}
			if one != nil {
				one.add(p, dir)
			}
		}
	}
	p.add("ringfort_scrape_errors", "gauge", "State directories and containers of which not all could be read this time.", float64(failed), nil)
	p.add("ringfort_scrape_duration_seconds", "gauge", "Time that it took to gather this page.", time.Since(begin).Seconds(), nil)
	p.write(w)
}

// samples asks for all containers side by side. Of those that have not answered when the time is up there is nil.
func (s *Source) samples(opts *container.Options, ids []string, deadline time.Time) []*sample {
	type answer struct {
		i int
		*sample
	}
	answers := make(chan answer, len(ids)) // nobody who comes late is held up
	slots := make(chan struct{}, width)
	var once sync.Once
	late := make(chan struct{})
	timer := time.AfterFunc(time.Until(deadline), func() { once.Do(func() { close(late) }) })
	defer timer.Stop()
	go func() {
		for i, id := range ids {
			select {
			case slots <- struct{}{}:
			case <-late:
				return
			}
			go func() {
				defer func() { <-slots }()
				answers <- answer{i, take(opts, id)}
			}()
		}
	}()
	out := make([]*sample, len(ids))
	for range ids {
		select {
		case a := <-answers:
			out[a.i] = a.sample
		case <-late:
			return out
		}
	}
	return out
}

// take reads one container.
func take(opts *container.Options, id string) *sample {
	c, err := container.Open(opts, id)
	if err != nil {
		return &sample{report: &container.Report{ID: id, Status: "damaged"}, err: err}
	}
	defer c.Close()
	s := &sample{report: c.Report()}
	a := c.Spec.Annotations
	s.pod = labels{
		"sandbox", c.Sandbox, "pod", a["io.kubernetes.cri.sandbox-name"], "namespace", a["io.kubernetes.cri.sandbox-namespace"],
		"container", a["io.kubernetes.cri.container-name"],
	}
	if st := control.Status(s.report.Status); st == control.Stopped || st == control.Creating {
		return s
	}
	if s.usage, s.err = c.Usage(); s.err != nil && c.Current() == control.Stopped {
		s.report.Status, s.err = string(control.Stopped), nil // it ended meanwhile
	}
	return s
}

// add puts the samples of one container on the page.
func (s *sample) add(p *page, dir string) {
	id := labels{"id", s.report.ID, "root", dir}
	p.add("ringfort_container_info", "gauge", "Always 1; the labels tell what the container is.", 1,
		append(append(id[:len(id):len(id)], "status", s.report.Status, "bundle", s.report.Bundle), s.pod...))
	if !s.report.Created.IsZero() {
		p.add("ringfort_container_created_timestamp_seconds", "gauge", "When the container was created.", float64(s.report.Created.Unix()), id)
	}
	u := s.usage
	if u == nil {
		return
	}
	counter := func(name, help string, v float64, more ...string) {
		p.add("ringfort_container_"+name, "counter", help, v, append(id[:len(id):len(id)], more...))
	}
	gauge := func(name, help string, v float64, more ...string) {
		p.add("ringfort_container_"+name, "gauge", help, v, append(id[:len(id):len(id)], more...))
	}
	const ns = 1e9
	counter("cpu_seconds_total", "CPU time of the container, Sentry and gofer included.", float64(u.CPU.Usage.Total)/ns)
	counter("cpu_throttled_seconds_total", "Time for which the CPU limit held the container up.", float64(u.CPU.Throttling.ThrottledTime)/ns)
	gauge("memory_usage_bytes", "Memory of the container, Sentry and gofer included.", float64(u.Memory.Usage.Usage))
	gauge("memory_cache_bytes", "Memory that is cache.", float64(u.Memory.Cache))
	gauge("memory_max_usage_bytes", "The most memory there was.", float64(u.Memory.Usage.Max))
	gauge("memory_limit_bytes", "Limit of memory, +Inf for none.", limit(u.Memory.Usage.Limit))
	counter("memory_failures_total", "How often the limit of memory was hit.", float64(u.Memory.Usage.Failcnt))
	gauge("processes", "Tasks of the applications.", float64(u.Pids.Current))
	gauge("processes_limit", "Limit of tasks.", limit(u.Pids.Limit))
	for _, n := range u.Network {
		counter("network_receive_bytes_total", "Bytes that came in.", float64(n.RxBytes), "interface", n.Name)
		counter("network_receive_packets_total", "Packets that came in.", float64(n.RxPackets), "interface", n.Name)
		counter("network_receive_errors_total", "Packets that came in and were bad.", float64(n.RxErrors), "interface", n.Name)
		counter("network_receive_dropped_total", "Packets that came in and were dropped.", float64(n.RxDropped), "interface", n.Name)
		counter("network_transmit_bytes_total", "Bytes that went out.", float64(n.TxBytes), "interface", n.Name)
		counter("network_transmit_packets_total", "Packets that went out.", float64(n.TxPackets), "interface", n.Name)
		counter("network_transmit_errors_total", "Packets that could not be sent.", float64(n.TxErrors), "interface", n.Name)
		counter("network_transmit_dropped_total", "Packets that were dropped before they were sent.", float64(n.TxDropped), "interface", n.Name)
	}
	if b := u.Sandbox; b != nil {
		gauge("application_memory_bytes", "Memory in use by the applications themselves.", float64(b.MemoryBytes))
		counter("application_cpu_seconds_total", "CPU time of application code and of the kernel for it.", float64(b.UserNanos)/ns, "mode", "user")
		counter("application_cpu_seconds_total", "CPU time of application code and of the kernel for it.", float64(b.SystemNanos)/ns, "mode", "system")
		counter("read_bytes_total", "Bytes that running processes have read.", float64(b.ReadBytes))
		counter("written_bytes_total", "Bytes that running processes have written.", float64(b.WriteBytes))
		for _, name := range b.Unimplemented {
			gauge("unimplemented_system_call", "Always 1: a system call that was asked for and is not there.", 1, "name", name)
		}
	}
}

// limit is a limit as a number; the host's cgroups have huge ones for none.
func limit(v uint64) float64 {
	if v == 0 || v >= 1<<62 {
		return math.Inf(1)
	}
	return float64(v)
}
