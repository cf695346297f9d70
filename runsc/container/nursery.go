package container

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"
)

// A nursery is the cgroups of a container, made before its processes so that they can be born there. To move a process
// takes the kernel a grace period of RCU, 10 ms and more in which others cannot fork either; a thread that moves itself
// under cgroup v1 is spared that, and so is a clone into a cgroup of v2.
type nursery struct {
	m       cgroups.Manager
	tasks   []*os.File // of the hierarchies of cgroup v1
	unified *os.File   // the directory of cgroup v2, if there is one
	// missed tells that a process was born elsewhere, and all have to be moved.
	missed bool
}

// makeCgroup makes the container's cgroups, still empty. Those that systemd makes are made for a process: there is no
// nursery then.
func (c *Container) makeCgroup() (*nursery, error) {
	m, err := c.cgroupManager()
	if err != nil {
		return nil, err
	}
	if c.SystemdCgroup {
		return &nursery{m: m, missed: true}, nil
	}
	if err := m.Apply(-1); err != nil {
		return nil, err
	}
	skip := ""
	if c.Sandbox == "" {
		skip = c.pidsCgroup()
	}
	return newNursery(m, skip), nil
}

// newNursery returns that of cgroups that are there. Instead of the directory above, which may be "", it uses the one
// above it.
func newNursery(m cgroups.Manager, above string) *nursery {
	n := &nursery{m: m}
	seen := map[string]bool{}
	for _, dir := range m.GetPaths() {
		if dir == above {
			dir = filepath.Dir(dir)
		}
		if dir == "" || seen[dir] {
			continue
		}
		seen[dir] = true
		f, err := os.OpenFile(filepath.Join(dir, "tasks"), os.O_WRONLY, 0)
		if err == nil {
			n.tasks = append(n.tasks, f)
			continue
		}
		if n.unified == nil && errors.Is(err, os.ErrNotExist) {
			n.unified, err = os.Open(dir)
		}
		n.missed = n.missed || err != nil
	}
	return n
}

// enter moves the calling thread, which has to be locked and given up afterwards, and makes attr one for a child in the
// nursery. It returns attr where it cannot.
func (n *nursery) enter(attr *syscall.SysProcAttr) *syscall.SysProcAttr {
	if n == nil || n.missed {
		return attr
	}
	for _, f := range n.tasks {
		if _, err := f.WriteString("0"); err != nil { // 0 is the thread that writes
			n.missed = true
			return attr
		}
	}
	if n.unified == nil {
		return attr
	}
	a := *attr
	a.UseCgroupFD, a.CgroupFD = true, int(n.unified.Fd())
	return &a
}

// miss notes that a child could not be born in the nursery. It reports whether that is news.
func (n *nursery) miss() bool {
	if n == nil || n.missed || n.unified == nil {
		return false
	}
	n.missed = true
	return true
}

// close lets go of the files.
func (n *nursery) close() {
	if n != nil {
		closeFiles(n.tasks)
		closeFiles([]*os.File{n.unified})
	}
}

// apart runs f on a thread of its own that ends afterwards: what f changes of it concerns nothing else. It is not the
// main thread, which stands for the whole process and ends with it.
func apart(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if unix.Gettid() == unix.Getpid() {
			apart(f) // elsewhere, for this goroutine stays here
			runtime.UnlockOSThread()
			return
		}
		f()
	}()
	<-done
}
