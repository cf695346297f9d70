package main

import (
	"fmt"
	"math"
	"strings"
)

// verdict is whether a row holds what is asked of it.
type verdict string

const (
	met     verdict = "yes"
	missed  verdict = "no"
	unknown verdict = "?" // something to compare with was not measured
	free    verdict = "–" // nothing is asked
)

// ratio returns ours over theirs as it is printed, so that a verdict never
// contradicts the figure beside it, and false if one of them is missing.
func ratio(ours, theirs float64) (float64, bool) {
	if ours <= 0 || theirs <= 0 {
		return 0, false
	}
	r := ours / theirs
	if r < 1 {
		return math.Round(r*1000) / 1000, true
	}
	return math.Round(r*100) / 100, true
}

// judge says whether our cell of the row is within all of the row's limits. A
// run of ours that failed is a limit missed.
func (r row) judge(cells map[string]*cell) verdict {
	if r.VsNative == 0 && r.VsPeer == 0 && r.Absolute == 0 {
		return free
	}
	mine := cells[ours]
	if mine == nil {
		return unknown
	}
	if len(mine.Failures) > 0 {
		return missed
	}
	result := met
	check := func(value float64, known bool, limit float64) {
		switch {
		case limit == 0:
		case !known:
			if result == met {
				result = unknown
			}
		case r.Unit == perSecond && value < limit, r.Unit != perSecond && value > limit:
			result = missed
		}
	}
	for _, c := range []struct {
		column string
		limit  float64
	}{{native, r.VsNative}, {peer, r.VsPeer}} {
		value, known := 0.0, false
		if other := cells[c.column]; other != nil {
			value, known = ratio(mine.value(), other.value())
		}
		check(value, known, c.limit)
	}
	check(mine.value(), len(mine.Samples) > 0, r.Absolute)
	return result
}

// limits writes what is asked of the row.
func (r row) limits() string {
	sign := "≤"
	if r.Unit == perSecond {
		sign = "≥"
	}
	var s []string
	if r.VsNative > 0 {
		s = append(s, fmt.Sprintf("%s %g × native", sign, r.VsNative))
	}
	if r.VsPeer > 0 {
		s = append(s, fmt.Sprintf("%s %g × peer", sign, r.VsPeer))
	}
	if r.Absolute > 0 {
		s = append(s, sign+" "+r.Unit.format(r.Absolute))
	}
	return strings.Join(s, ", ")
}

// format writes a value with three digits that mean something.
func (u unit) format(v float64) string {
	scale := func(base float64, names ...string) string {
		i := 0
		for i < len(names)-1 && math.Abs(v) >= base*0.9995 {
			v /= base
			i++
		}
		digits := 2
		if math.Abs(v) >= 100 {
			digits = 0
		} else if math.Abs(v) >= 10 {
			digits = 1
		}
		s := fmt.Sprintf("%.*f", digits, v)
		if strings.Contains(s, ".") {
			s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
		}
		return s + names[i]
	}
	switch u {
	case byteCount:
		return scale(1024, " B", " KiB", " MiB", " GiB")
	case perSecond:
		return scale(1000, "/s", " k/s", " M/s")
	}
	return scale(1000, " ns", " µs", " ms", " s")
}
