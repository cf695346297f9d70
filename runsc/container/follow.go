package container

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"ringfort/runsc/control"
	"ringfort/runsc/follow"
)

// launchFollower starts the process that takes over links which come after the start (package follow), where that was
// asked for and links have been taken over.
func (b *birth) launchFollower() error {
	if !b.opts.FollowLinks || len(b.args.NetFiles) == 0 {
		return nil
	}
	if Rootless() {
		b.opts.warn("--follow-links: container %s: not without root", b.ID)
		return nil
	}
	ns, err := os.Open(b.netPath())
	if err != nil {
		return err
	}
	defer ns.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	ours, theirs, err := socketpair(unix.SOCK_STREAM)
	if err != nil {
		return err
	}
	defer theirs.Close()
	files := []*os.File{null, null, b.log, theirs}
	for range 2 {
		f, err := control.DialFile(b.dir, socketName)
		if err != nil {
			ours.Close()
			return err
		}
		defer f.Close()
		files = append(files, f)
	}
	attr := goferAttr()
	attr.Cloneflags &^= unix.CLONE_NEWNET
	b.follower, err = launch(&launchSpec{
		args: []string{"runsc", "follow", b.ID}, files: files, attr: attr, netNS: ns,
		bound: append([]int{unix.CAP_SYS_ADMIN}, follow.Capabilities...), // for its mounts, and the program it loads
	})
	if err != nil {
		ours.Close()
		return err
	}
	b.Follower = b.follower.id
	if m, err := b.cgroupManager(); err == nil {
		if err := addPids(m, []int{b.follower.Pid}); err != nil && !machineCannot(err) {
			b.opts.warn("cgroup of container %s: %v", b.ID, err)
		}
	}
	if err := b.explain(configure(ours, follow.Config{ID: b.ID, Net: b.args.Net}), b.follower); err != nil {
		return fmt.Errorf("--follow-links: %w", err)
	}
	return nil
}
