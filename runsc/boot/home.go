package boot

import (
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

// maxPasswd is how much of /etc/passwd is read, in bytes.
const maxPasswd = 1 << 20

// environ returns the environment of a process. Without HOME it gets that of its user, as runc does: engines count on it.
func (c *container) environ(p *specs.Process) []string {
	for _, e := range p.Env {
		if strings.HasPrefix(e, "HOME=") {
			return p.Env
		}
	}
	return append(p.Env[:len(p.Env):len(p.Env)], "HOME="+homeOf(c.passwd(), p.User.UID))
}

// homeOf finds a user's home in the text of a passwd(5) file; it is / if there is none.
func homeOf(passwd string, uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	for line := range strings.Lines(passwd) {
		f := strings.Split(strings.TrimRight(line, "\n"), ":")
		if len(f) >= 6 && f[2] == id && f[5] != "" && !strings.ContainsRune(f[5], 0) {
			return f[5]
		}
	}
	return "/"
}

// passwd reads the container's /etc/passwd, "" if it has none.
func (c *container) passwd() string {
	k := c.caller()
	d, err := vfs.Open(k, vfs.Path{}, "/etc/passwd", vfs.OpenHow{Flags: unix.O_RDONLY | unix.O_NONBLOCK})
	if err != nil {
		return ""
	}
	defer d.DecRef(k)
	if d.Inode().Base().Type() != unix.S_IFREG {
		return ""
	}
	var text []byte
	buf := make([]byte, 16<<10)
	for len(text) < maxPasswd {
		n, err := d.Read(k, usermem.BytesSeq(buf))
		if n <= 0 || err != nil {
			break
		}
		text = append(text, buf[:n]...)
	}
	return string(text)
}
