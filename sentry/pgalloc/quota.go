package pgalloc

import "sync/atomic"

// Quota counts the bytes of several objects together and may limit them. A nil
// Quota counts nothing. Its methods take no lock.
type Quota struct {
	max  uint64
	used atomic.Uint64
}

// NewQuota returns a quota of limit bytes, a page multiple; 0 is no limit.
func NewQuota(limit uint64) *Quota { return &Quota{max: limit} }

// Used returns the bytes that the objects have.
func (q *Quota) Used() uint64 { return q.used.Load() }

// Room returns how many more bytes there may be.
func (q *Quota) Room() uint64 {
	if q.max == 0 {
		return ^uint64(0)
	}
	return q.max - q.used.Load() // which is never more than max
}

// Roomy reports whether there is so much room that an object may have n bytes
// that nobody may ever touch. Up to an eighth of the limit goes that way.
func (q *Quota) Roomy(n uint64) bool {
	return q == nil || q.max == 0 || n <= q.max/8 && q.used.Load() <= q.max/8-n
}

// take counts most bytes, or what there is still room for, and returns how many that are.
func (q *Quota) take(most uint64) uint64 {
	if q == nil {
		return most
	}
	for {
		used, n := q.used.Load(), most
		if q.max > 0 {
			n = min(n, q.max-used)
		}
		if q.used.CompareAndSwap(used, used+n) {
			return n
		}
	}
}

// give takes n bytes out of the count.
func (q *Quota) give(n uint64) {
	if q != nil {
		q.used.Add(-n)
	}
}
