package memmap

import (
	"bytes"
	"testing"

	"ringfort/platform"
	"ringfort/sentry/usermem"
)

// counted is a File that counts references by page.
type counted struct{ refs map[uint64]int }

func (*counted) Host() platform.HostFile { return platform.HostFile{} }
func (c *counted) IncRef(r Range)        { c.refs[r.Start]++ }
func (c *counted) DecRef(r Range)        { c.refs[r.Start]-- }
func (*counted) Internal(Range, usermem.Access) (usermem.Block, error) {
	return usermem.Block{}, nil
}

func page(n uint64) Range { return Range{Start: n * usermem.PageSize, End: (n + 1) * usermem.PageSize} }

func TestCodeSaw(t *testing.T) {
	var c Code
	told := 0
	for range 3 * knownAfter {
		if c.Saw(100) {
			told++
		}
	}
	if told != 1 {
		t.Errorf("a site was told of %d times", told)
	}
	for i := range uint64(2 * maxSeen) {
		c.Saw(1000 + i)
	}
	if len(c.seen) != maxSeen {
		t.Errorf("%d sites are counted", len(c.seen))
	}
}

func TestCodeAdd(t *testing.T) {
	var c Code
	f := &counted{map[uint64]int{}}
	site := func(end uint64, patch string) KnownSite {
		return KnownSite{platform.KnownSite{Patch: []byte(patch), Back: len(patch)}, end}
	}
	add := func(frame, off uint64, original []byte, s KnownSite) []byte {
		t.Helper()
		into := make([]byte, usermem.PageSize)
		f.IncRef(page(frame))
		if !c.Add(f, page(frame), into, off, original, s) {
			t.Fatal("not added")
		}
		return into
	}
	const off = 2 * usermem.PageSize
	first := bytes.Repeat([]byte{'.'}, usermem.PageSize)
	add(1, off, first, site(off+10, "abc"))
	if b := add(2, off, first, site(off+20, "xy")); string(b[:21]) != ".......abc........xy." {
		t.Errorf("two sites: %q", b[:21])
	}
	if f.refs[page(1).Start] != 0 {
		t.Error("the page with one site is still held")
	}
	// Where the file has changed only the new site is known.
	second := bytes.Repeat([]byte{'-'}, usermem.PageSize)
	if b := add(3, off, second, site(off+5, "q")); string(b[:11]) != "----q------" {
		t.Errorf("after a change: %q", b[:11])
	}
	add(4, off+usermem.PageSize, first, site(off+usermem.PageSize+9, "z"))
	if l := c.Within(off, usermem.PageSize); len(l) != 1 || l[0].Offset != off || f.refs[page(3).Start] != 2 {
		t.Errorf("%d pages within the first, %d references", len(l), f.refs[page(3).Start])
	}
	if l := c.Within(off+1, 3*usermem.PageSize); len(l) != 1 || l[0].Offset != off+usermem.PageSize {
		t.Errorf("%d whole pages within the second", len(l))
	}
	c.Drop()
	if f.refs[page(3).Start] != 1 || f.refs[page(4).Start] != 1 {
		t.Errorf("references after the end: %v", f.refs)
	}
	for i := range uint64(maxCodePages) {
		add(10+i, i*usermem.PageSize, first, site(i*usermem.PageSize+9, "z"))
	}
	if c.Add(f, page(9), make([]byte, usermem.PageSize), maxCodePages*usermem.PageSize, first, site(maxCodePages*usermem.PageSize+9, "z")) {
		t.Error("one page too many")
	}
}

func TestCodeBusy(t *testing.T) {
	var c Code
	c.Ran(busyTraps - 1)
	if c.Busy() {
		t.Error("busy too early")
	}
	c.Ran(busyTraps)
	c.Ran(0)
	if !c.Busy() {
		t.Error("not busy")
	}
}
