package netstack

import (
	"errors"
	"fmt"
	"testing"

	"github.com/vishvananda/netlink"
)

func TestDumpAsksAgain(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		name  string
		errs  []error // of the first calls; the last one's is that of all that follow
		calls int
		want  error
	}{
		{"at once", []error{nil}, 1, nil},
		{"changed twice", []error{netlink.ErrDumpInterrupted, fmt.Errorf("links: %w", netlink.ErrDumpInterrupted), nil}, 3, nil},
		{"another error", []error{broken}, 1, broken},
		{"changes without end", []error{netlink.ErrDumpInterrupted}, maxDumps, netlink.ErrDumpInterrupted},
	} {
		calls := 0
		got, err := dump(func() ([]int, error) {
			err := c.errs[min(calls, len(c.errs)-1)]
			calls++
			return []int{calls}, err
		})
		if calls != c.calls || !errors.Is(err, c.want) || len(got) != 1 || got[0] != calls {
			t.Errorf("%s: %v, %v after %d calls, want %d and %v", c.name, got, err, calls, c.calls, c.want)
		}
	}
}
