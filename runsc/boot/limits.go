package boot

import (
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"ringfort/runsc/control"
)

// SetLimits implements control.LimitSetter.
func (s *sandbox) SetLimits(id string, l *control.Limits) error {
	c, err := s.find(id)
	if err != nil {
		return err
	}
	c.kc.SetLimits(l.Memory, l.CPUs)
	c.kc.SetCPUs(parseCPUs(l.CPUSet))
	c.kc.SetShares(l.Shares)
	c.kc.TaskCount().SetLimit(l.PIDs)
	return nil
}

var _ control.LimitSetter = (*sandbox)(nil)

// cpusOf returns the processors of a spec's cpuset, bit n for processor n; 0 for all.
func cpusOf(s *specs.Spec) uint64 {
	if s.Linux == nil || s.Linux.Resources == nil || s.Linux.Resources.CPU == nil {
		return 0
	}
	return parseCPUs(s.Linux.Resources.CPU.Cpus)
}

// sharesOf returns the relative weight of a spec, 0 if it has none.
func sharesOf(s *specs.Spec) uint64 {
	if s.Linux == nil || s.Linux.Resources == nil || s.Linux.Resources.CPU == nil || s.Linux.Resources.CPU.Shares == nil {
		return 0
	}
	return *s.Linux.Resources.CPU.Shares
}

// parseCPUs reads the list format of cpuset(7). The host has taken the list, so what does not parse is not there.
func parseCPUs(list string) (mask uint64) {
	for part := range strings.SplitSeq(strings.TrimSpace(list), ",") {
		low, high, isRange := strings.Cut(part, "-")
		a, err := strconv.ParseUint(low, 10, 16)
		b := a
		if err == nil && isRange {
			b, err = strconv.ParseUint(high, 10, 16)
		}
		if err != nil {
			continue
		}
		for ; a <= min(b, 63); a++ {
			mask |= 1 << a
		}
	}
	return mask
}
