package devpts

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"ringfort/sentry/auth"
	"ringfort/sentry/vfs"
)

// parseOptions reads the mount options of devpts (Documentation/filesystems/devpts.rst).
func parseOptions(c vfs.Caller, data string) (mode uint32, gid auth.KGID, ptmx uint32, err error) {
	mode, ptmx = 0o600, 0o666
	for _, kv := range strings.Split(data, ",") {
		k, v, _ := strings.Cut(kv, "=")
		base := 10
		if k == "mode" || k == "ptmxmode" {
			base = 8
		}
		n := uint64(0)
		if v != "" {
			if n, err = strconv.ParseUint(v, base, 32); err != nil {
				return 0, 0, 0, unix.EINVAL
			}
		}
		switch k {
		case "", "newinstance", "max":
		case "mode":
			mode = uint32(n) & 0o777
		case "ptmxmode":
			ptmx = uint32(n) & 0o777
		case "gid":
			g, ok := c.Creds().UserNS.KGID(uint32(n))
			if !ok {
				return 0, 0, 0, unix.EINVAL
			}
			gid = g
		case "uid":
		default:
			return 0, 0, 0, unix.EINVAL
		}
	}
	return mode, gid, ptmx, nil
}
