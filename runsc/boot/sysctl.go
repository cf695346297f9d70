package boot

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

// setSysctls writes linux.sysctl through a proc of the kernel's own: that of the container may be read-only, or not be
// there.
func (c *container) setSysctls() error {
	if c.spec.Linux == nil || len(c.spec.Linux.Sysctl) == 0 {
		return nil
	}
	sb, err := vfs.LookupFS("proc").New(c.caller(), vfs.MountSource{Source: "proc"})
	if err != nil {
		return fmt.Errorf("linux.sysctl: %w", err)
	}
	proc := vfs.NewKernelMount(sb)
	defer proc.DecRef()
	for name, value := range c.spec.Linux.Sysctl {
		file := "sys/" + strings.ReplaceAll(name, ".", "/")
		if err := c.writeFile(proc, file, value); err != nil {
			return fmt.Errorf("linux.sysctl: %s: %w", name, err)
		}
	}
	return nil
}

func (c *container) writeFile(at vfs.Path, name, text string) error {
	k := c.caller().InNetNS(c.net)
	d, err := vfs.Open(k, at, name, vfs.OpenHow{Flags: unix.O_WRONLY})
	if err != nil {
		return err
	}
	defer d.DecRef(k)
	_, err = d.Write(k, usermem.BytesSeq([]byte(text)))
	return err
}
