package boot

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

// setSysctls writes linux.sysctl through /proc/sys, as any process would.
func (c *container) setSysctls() error {
	if c.spec.Linux == nil {
		return nil
	}
	for name, value := range c.spec.Linux.Sysctl {
		file := "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
		if err := c.writeFile(file, value); err != nil {
			return fmt.Errorf("linux.sysctl: %s: %w", name, err)
		}
	}
	return nil
}

func (c *container) writeFile(name, text string) error {
	k := c.caller()
	d, err := vfs.Open(k, vfs.Path{}, name, vfs.OpenHow{Flags: unix.O_WRONLY})
	if err != nil {
		return err
	}
	defer d.DecRef(k)
	_, err = d.Write(k, usermem.BytesSeq([]byte(text)))
	return err
}
