package proc

import (
	"fmt"

	"golang.org/x/sys/unix"
	"ringfort/sentry/fs/fsutil"
	"ringfort/sentry/kernel"
	"ringfort/sentry/socket/netns"
	"ringfort/sentry/vfs"
)

// netKnobs are the files under /proc/sys/net that the reader's network namespace acts on.
func (p *procFS) netKnobs() map[string]*fsutil.Text {
	file := func(get func(n *netns.Namespace) string, set func(n *netns.Namespace, s string) error) *fsutil.Text {
		f := p.NewText(nil, 0644, func(c vfs.Caller) (string, error) {
			n, err := p.netOf(c)
			if err != nil {
				return "", err
			}
			return get(n) + "\n", nil
		})
		f.Put = func(c vfs.Caller, s string) error {
			n, err := p.netOf(c)
			if err != nil {
				return err
			}
			if c != nil && !c.Creds().HasCapIn(unix.CAP_NET_ADMIN, n.UserNS) {
				return unix.EPERM
			}
			return set(n, trim(s))
		}
		return f
	}
	forward := func(family int) *fsutil.Text {
		return file(func(n *netns.Namespace) string {
			if n.Stack.Forwarding(family) {
				return "1"
			}
			return "0"
		}, func(n *netns.Namespace, s string) error {
			if !flag(s) {
				return unix.EINVAL
			}
			return n.Stack.SetForwarding(family, s == "1")
		})
	}
	return map[string]*fsutil.Text{
		"net/ipv4/ip_forward":          forward(unix.AF_INET),
		"net/ipv6/conf/all/forwarding": forward(unix.AF_INET6),
		"net/ipv4/conf/all/forwarding": forward(unix.AF_INET),
		"net/ipv4/ip_local_port_range": file(func(n *netns.Namespace) string {
			first, last := n.Stack.PortRange()
			return fmt.Sprintf("%d\t%d", first, last)
		}, func(n *netns.Namespace, s string) error {
			var first, last uint16
			if _, err := fmt.Sscan(s, &first, &last); err != nil || first == 0 || first > last {
				return unix.EINVAL
			}
			return n.Stack.SetPortRange(first, last)
		}),
		"net/ipv4/ping_group_range": file(func(n *netns.Namespace) string {
			low, high := n.Stack.PingGroupRange()
			return fmt.Sprintf("%d\t%d", low, high)
		}, func(n *netns.Namespace, s string) error {
			var low, high uint32
			if _, err := fmt.Sscan(s, &low, &high); err != nil {
				return unix.EINVAL
			}
			n.Stack.SetPingGroupRange(low, high)
			return nil
		}),
		"net/ipv4/ip_unprivileged_port_start": file(func(n *netns.Namespace) string {
			return itoa(int(n.UnprivilegedPort()))
		}, func(n *netns.Namespace, s string) error {
			var port uint16
			if _, err := fmt.Sscan(s, &port); err != nil {
				return unix.EINVAL
			}
			n.SetUnprivilegedPort(port)
			return nil
		}),
	}
}

// netOf returns the caller's network namespace. The kernel itself, if it names none, acts on that of process 1.
func (p *procFS) netOf(c vfs.Caller) (*netns.Namespace, error) {
	if k, ok := c.(*kernel.Caller); ok && k.NetNS() != nil {
		return k.NetNS(), nil
	}
	t := taskOf(c)
	if t == nil {
		t = p.ns.TaskWithID(1)
	}
	if t == nil {
		return nil, unix.EAGAIN
	}
	if n := t.NetNS(); n != nil && n.Stack != nil {
		return n, nil
	}
	return nil, unix.EINVAL
}
