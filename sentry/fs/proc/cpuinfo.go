package proc

import (
	"fmt"
	"strings"

	"gvisor.dev/gvisor/pkg/cpuid"
)

// cpuInfo is /proc/cpuinfo: the host's processor, as many times as the sandbox has them.
func cpuInfo(n int) string {
	// Asked of the processor itself: the library's own way of finding out reads host files.
	fs := cpuid.FeatureSet{Function: &cpuid.Native{}}
	var b strings.Builder
	for i := range n {
		var one strings.Builder
		fs.WriteCPUInfoTo(uint(i), uint(n), &one)
		b.WriteString(one.String())
	}
	if b.Len() == 0 {
		for i := range n {
			fmt.Fprintf(&b, "processor\t: %d\n\n", i)
		}
	}
	return b.String()
}
