package mm

import (
	"sort"

	"ringfort/sentry/usermem"
)

// segment is something that covers a range of addresses.
type segment interface{ bounds() usermem.Range }

// set is a sorted list of segments that do not overlap. Lookups are binary
// searches over a compact array of pointers.
type set[S segment] struct{ list []S }

// after returns the index of the first segment that ends after a.
func (s *set[S]) after(a usermem.Addr) int {
	return sort.Search(len(s.list), func(i int) bool { return s.list[i].bounds().End > a })
}

// at returns the segment that contains a.
func (s *set[S]) at(a usermem.Addr) (seg S, ok bool) {
	lo, hi := 0, len(s.list)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		b := s.list[mid].bounds()
		switch {
		case b.End <= a:
			lo = mid + 1
		case b.Start > a:
			hi = mid
		default:
			return s.list[mid], true
		}
	}
	return seg, false
}

// within returns the indexes [i, j) of the segments that overlap r.
func (s *set[S]) within(r usermem.Range) (i, j int) {
	i = s.after(r.Start)
	for j = i; j < len(s.list) && s.list[j].bounds().Start < r.End; j++ {
	}
	return i, j
}
