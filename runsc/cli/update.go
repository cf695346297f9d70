package cli

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"ringfort/runsc/spec"
)

func updateCommand() *command {
	c := newCommand("update", "<container-id>", "change the resource limits of a container", 1, 1)
	var file, cpus, mems string
	var memory, swap, reservation, quota, burst int64
	var period, shares uint64
	for _, name := range []string{"resources", "r"} {
		c.flags.StringVar(&file, name, "", "JSON `file` of linux.resources, - for standard input")
	}
	c.flags.Int64Var(&memory, "memory", 0, "memory limit in `bytes`")
	c.flags.Int64Var(&swap, "memory-swap", 0, "limit of memory and swap in `bytes`")
	c.flags.Int64Var(&reservation, "memory-reservation", 0, "soft limit of memory in `bytes`")
	c.flags.Int64Var(&quota, "cpu-quota", 0, "`microseconds` of CPU time in a period")
	c.flags.Uint64Var(&period, "cpu-period", 0, "length of a period in `microseconds`")
	c.flags.Int64Var(&burst, "cpu-burst", 0, "`microseconds` that can be saved up")
	c.flags.Uint64Var(&shares, "cpu-share", 0, "relative `weight`")
	c.flags.StringVar(&cpus, "cpuset-cpus", "", "`list` of CPUs")
	c.flags.StringVar(&mems, "cpuset-mems", "", "`list` of memory nodes")
	pids := c.flags.Int64("pids-limit", 0, "most `processes`, -1 for any number")
	c.run = func(a *app, args []string) error {
		r := &specs.LinuxResources{}
		if file != "" {
			var err error
			if r, err = spec.LoadResources(file); err != nil {
				return err
			}
		} else {
			r.Memory = &specs.LinuxMemory{Limit: given(memory), Swap: given(swap), Reservation: given(reservation)}
			if *pids != 0 {
				r.Pids = &specs.LinuxPids{Limit: pids}
			}
			r.CPU = &specs.LinuxCPU{Quota: given(quota), Period: given(period), Shares: given(shares), Cpus: cpus, Mems: mems}
			if burst > 0 {
				b := uint64(burst)
				r.CPU.Burst = &b
			}
		}
		ct, err := a.open(args[0])
		if err != nil {
			return err
		}
		defer ct.Close()
		return ct.Update(r)
	}
	return c
}

// given returns nil for an option that was not set.
func given[T int64 | uint64](v T) *T {
	if v == 0 {
		return nil
	}
	return &v
}
