package netstack

import (
	"errors"
	"time"

	"github.com/vishvananda/netlink"
)

const (
	// maxDumps is how often a list is asked for that changes while it is told.
	maxDumps = 100
	// dumpPause lets what changes come to its end.
	dumpPause = time.Millisecond
)

// dump returns a list of the host's. Where others add or remove entries while the host tells
// them (NLM_F_DUMP_INTR, netlink(7)), as in the host's own namespace when containers come and
// go, it asks again.
func dump[T any](list func() ([]T, error)) ([]T, error) {
	for n := 1; ; n++ {
		all, err := list()
		if n == maxDumps || !errors.Is(err, netlink.ErrDumpInterrupted) {
			return all, err
		}
		time.Sleep(dumpPause)
	}
}
