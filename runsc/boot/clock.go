package boot

import (
	"slices"
	"strings"
)

// trustsTSC reports whether the host reads its own clocks off the time stamp
// counter: then it has made sure that the counters of all processors agree. The
// flags say that it runs at one rate whatever the processor does.
func trustsTSC(conf *Config) bool {
	if conf.Clocksource != "tsc" {
		return false
	}
	for line := range strings.Lines(conf.CPUInfo) {
		if key, val, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "flags" {
			flags := strings.Fields(val)
			return slices.Contains(flags, "constant_tsc") && slices.Contains(flags, "nonstop_tsc")
		}
	}
	return false
}
