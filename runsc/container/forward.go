package container

import (
	"os"

	"golang.org/x/sys/unix"

	"ringfort/runsc/control"
	forwarding "ringfort/runsc/forward"
	"ringfort/runsc/spec"
)

// launchForwarder starts the process that stands for the pod's listeners on the host's side of its network namespace
// (package forward). Pods have one: their engines connect there.
func (b *birth) launchForwarder() error {
	if !b.forwardOwn() && (!spec.IsPod(b.Spec) || b.network.join == nil || b.opts.Network == "none" || Rootless()) {
		return nil
	}
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
	b.forwarder, err = launch(&launchSpec{
		args: []string{"runsc", "forward", b.ID}, files: files, attr: attr, netNS: b.network.join,
		bound: append([]int{unix.CAP_SYS_ADMIN}, forwarding.Capabilities...),
	})
	if err != nil {
		ours.Close()
		return err
	}
	b.Forwarder = b.forwarder.id
	if m, err := b.cgroupManager(); err == nil {
		if err := addPids(m, []int{b.forwarder.Pid}); err != nil && !machineCannot(err) {
			b.opts.warn("cgroup of container %s: %v", b.ID, err)
		}
	}
	return b.explain(configure(ours, struct{}{}), b.forwarder)
}

// forwardOwn tells whether an engine without root may want to reach the sandbox's own addresses from the host's side.
func (b *birth) forwardOwn() bool {
	return Rootless() && !ordinary() && b.network.join != nil && b.opts.Network != "none"
}
