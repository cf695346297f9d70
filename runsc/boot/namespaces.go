package boot

import (
	"fmt"

	"ringfort/runsc/control"
	"ringfort/sentry/socket/netns"
)

// namespaces gives the container its namespaces: those the kernel starts with for the sandbox's first container, for
// another one new ones or those of a container it joins. Mount namespaces come with the mounts.
func (c *container) namespaces(a *control.CreateArgs) error {
	k, first := c.s.k, a.ID == c.s.conf.ID
	c.pidns, c.uts, c.ipc = k.RootPIDNS(), k.RootUTSNS(), k.RootIPCNS()
	named := first
	if !first {
		users := k.InitUserNS()
		if err := c.join(a.Join.PID, func(o *container) { c.pidns = o.pidns }, func() { c.pidns = k.NewPIDNS(users) }); err != nil {
			return err
		}
		newUTS := func() { c.uts, named = k.NewUTSNS(c.uts, users), true }
		if err := c.join(a.Join.UTS, func(o *container) { c.uts = o.uts }, newUTS); err != nil {
			return err
		}
		owned := false
		newIPC := func() { c.ipc, owned = k.NewIPCNS(users), true }
		if err := c.join(a.Join.IPC, func(o *container) { c.ipc = o.ipc }, newIPC); err != nil {
			return err
		}
		if !owned {
			c.ipc.IncRef()
		}
	} else {
		c.ipc.IncRef()
	}
	if named && a.Spec.Hostname != "" {
		c.uts.SetHost(a.Spec.Hostname)
	}
	if named && a.Spec.Domainname != "" {
		c.uts.SetDomain(a.Spec.Domainname)
	}
	return c.joinNetwork(a, first)
}

// join calls with the container whose namespace is meant, or fresh if a new one is.
func (c *container) join(id string, with func(*container), fresh func()) error {
	if id == "" {
		fresh()
		return nil
	}
	o, err := c.s.find(id)
	if err != nil {
		return fmt.Errorf("join a namespace: %w", err)
	}
	with(o)
	return nil
}

// joinNetwork finds the container's network namespace, with a reference.
func (c *container) joinNetwork(a *control.CreateArgs, first bool) error {
	if first {
		n, err := c.s.network(a)
		if err != nil {
			return err
		}
		n.IncRef()
		c.net = n
		return nil
	}
	var err error
	with := func(o *container) {
		o.net.IncRef()
		c.net = o.net
	}
	jerr := c.join(a.Join.Net, with, func() { c.net, err = netns.New(c.s.k.InitUserNS()) })
	if jerr != nil {
		return jerr
	}
	return err
}
