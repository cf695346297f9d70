package container

import (
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"ringfort/runsc/boot"
	"ringfort/runsc/control"
	"ringfort/runsc/spec"
)

// networkKind is boot.Config.Network.
func (b *birth) networkKind() string {
	if b.network.host {
		return boot.HostNetwork
	}
	return b.opts.Network
}

// scrapeNetwork reads the namespace the Sentry is in, once the hooks have done what they want with it, and takes its
// links over.
func (b *birth) scrapeNetwork() error {
	if b.opts.Network == "none" || b.opts.Scrape == nil || ordinary() && b.network.fresh {
		return nil // an ordinary user has no way into a namespace but by birth; there is nothing in a new one
	}
	if b.network.host {
		if b.opts.View == nil {
			return nil
		}
		config, err := b.opts.View(b.netPath())
		if err != nil {
			return fmt.Errorf("network: %w", err)
		}
		b.args.Net = json.RawMessage(config)
		return nil
	}
	if b.network.join != nil {
		// Before the links are taken over, so that whatever happens they can be given back.
		ns, _ := spec.NetworkNamespace(b.Spec)
		inode, err := inodeOf(ns.Path)
		if err != nil {
			return fmt.Errorf("linux.namespaces: network: %w", err)
		}
		b.NetPath, b.NetInode = ns.Path, inode
		if err := b.save(); err != nil {
			return err
		}
	}
	config, files, err := b.opts.Scrape(b.netPath())
	if err != nil {
		return fmt.Errorf("network: %w", err)
	}
	b.args.Net, b.args.NetFiles = json.RawMessage(config), files
	b.files = append(b.files, files...)
	b.LateNetwork = len(files) == 0
	return nil
}

// lateNetwork gives the Sentry the links that an engine has moved into its namespace after the creation.
func (c *Container) lateNetwork() error {
	if !c.LateNetwork || c.opts.Scrape == nil {
		return nil
	}
	config, files, err := c.opts.Scrape(fmt.Sprintf("/proc/%d/ns/net", c.Sentry.PID))
	if err != nil {
		return fmt.Errorf("network: %w", err)
	}
	defer closeFiles(files)
	if len(files) == 0 {
		return nil
	}
	return c.with(func(cl *control.Client) error { return cl.SetNetwork(c.ID, config, files) })
}

// releaseNetwork gives the links of a namespace that was joined back to the host kernel, unless another container still
// uses them. A namespace of our own has gone with the Sentry.
func (c *Container) releaseNetwork() {
	if c.NetPath == "" || c.opts.ReleaseNet == nil { // a container that joined a sandbox has none
		return
	}
	if inode, err := inodeOf(c.NetPath); err != nil || inode != c.NetInode {
		return // it has gone, and the links with it
	}
	ids, err := List(c.opts)
	if err != nil {
		c.opts.warn("network: %v", err)
	}
	for _, id := range ids {
		if id != c.ID && sharesNetwork(c.opts, id, c.NetInode) {
			return
		}
	}
	if err := c.opts.ReleaseNet(c.NetPath); err != nil {
		c.opts.warn("give the network namespace %s back: %v", c.NetPath, err)
	}
}

// sharesNetwork reports whether a container that has not ended uses a network namespace.
func sharesNetwork(opts *Options, id string, inode uint64) bool {
	o, err := Open(opts, id)
	if err != nil {
		return false
	}
	defer o.Close()
	return o.NetInode == inode && o.Current() != control.Stopped
}

// inodeOf returns the number by which a namespace is known.
func inodeOf(path string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return st.Ino, nil
}
