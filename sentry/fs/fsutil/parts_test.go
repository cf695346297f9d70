package fsutil

import (
	"testing"

	"golang.org/x/sys/unix"
	"ringfort/sentry/vfs"
)

// TestParts looks for entries that are made when they are wanted: each is made once, and no other with it.
func TestParts(t *testing.T) {
	tree := NewTree("test", 0)
	d := tree.NewDir(nil, 0o555)
	d.Add("first", tree.NewDir(nil, 0o555))
	made := map[int]int{}
	d.SetParts([]Part{{"a", false}, {"b", true}, {"c", false}}, func(c vfs.Caller, i int) vfs.Inode {
		made[i]++
		if i == 1 {
			return tree.NewDir(c, 0o555)
		}
		return tree.NewStaticLink(c, "x")
	})
	var st unix.Statx_t
	if err := d.Stat(nil, &st); err != nil || st.Nlink != 4 {
		t.Errorf("%d links, %v, want 4", st.Nlink, err)
	}
	for range 3 {
		in, err := d.Lookup(nil, "b")
		if err != nil || !in.Base().IsDir() {
			t.Fatalf("b: %v %v", in, err)
		}
		vfs.DecRefInode(in)
	}
	if len(made) != 1 || made[1] != 1 {
		t.Errorf("made, by index: %v", made)
	}
	if _, err := d.Lookup(nil, "d"); err != unix.ENOENT {
		t.Errorf("d: %v", err)
	}
	for i, want := range []string{"first", "a", "b", "c"} {
		if e := d.entry(nil, i); e.name != want || e.in == nil {
			t.Errorf("entry %d is %q", i, e.name)
		}
	}
	if len(made) != 3 || made[1] != 1 {
		t.Errorf("made after all were listed, by index: %v", made)
	}
	d.Destroy()
}
