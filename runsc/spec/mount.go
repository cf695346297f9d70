package spec

import (
	"fmt"
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// mountTypes are the file systems that the Sentry has, besides bind mounts.
var mountTypes = map[string]bool{
	"bind": true, "tmpfs": true, "proc": true, "sysfs": true, "devpts": true, "devtmpfs": true, "mqueue": true,
	"cgroup": true, "cgroup2": true, "ramfs": true,
}

// MountOptions are the options of any mount (mount(8), "filesystem-independent mount options", and runtime-spec,
// config.md#linux-mount-options) that are honoured.
var MountOptions = map[string]bool{
	"defaults": true, "rw": true, "ro": true, "rro": true, "rrw": true,
	"suid": true, "nosuid": true, "dev": true, "nodev": true, "exec": true, "noexec": true,
	"sync": true, "async": true, "dirsync": true, "remount": true,
	"atime": true, "noatime": true, "diratime": true, "nodiratime": true, "relatime": true, "norelatime": true,
	"strictatime": true, "nostrictatime": true,
	"bind": true, "rbind": true,
	"private": true, "rprivate": true, "slave": true, "rslave": true, "unbindable": true, "runbindable": true,
	"shared": true, "rshared": true, // but not with the host: package container looks at the source
	"idmap": true, "ridmap": true,
	"silent": true, "loud": true, "acl": true, "noacl": true, "nosymfollow": true, "symfollow": true,
	"tmpcopyup": true, "copy-symlink": true,
}

// refusedOptions are the options that are known and cannot be honoured.
var refusedOptions = map[string]bool{
	"mand":    true,
	"rnosuid": true, "rsuid": true, "rnodev": true, "rdev": true, "rnoexec": true, "rexec": true, "rnoatime": true,
	"ratime": true, "rnodiratime": true, "rdiratime": true, "rrelatime": true, "rnorelatime": true, "rstrictatime": true,
	"rnostrictatime": true, "rnosymfollow": true, "rsymfollow": true,
}

// dataOptions are the options of single file systems, by the part before "=".
var dataOptions = map[string]map[string]bool{
	"tmpfs": {
		"size": true, "nr_blocks": true, "nr_inodes": true, "mode": true, "uid": true, "gid": true, "mpol": true,
		"huge": true, "inode64": true, "inode32": true,
	},
	"ramfs":    {"mode": true},
	"devtmpfs": {"size": true, "nr_inodes": true, "mode": true},
	"devpts":   {"newinstance": true, "ptmxmode": true, "mode": true, "uid": true, "gid": true, "max": true},
	"proc":     {"hidepid": true, "gid": true, "subset": true},
	"cgroup":   {"nsdelegate": true},
	"cgroup2":  {"nsdelegate": true, "memory_recursiveprot": true},
}

func (c *checker) mount(field string, m *specs.Mount) {
	if m.Destination == "" || !path.IsAbs(m.Destination) {
		c.bad(field+".destination", "%q is not an absolute path", m.Destination)
	}
	c.idMapped(field, m)
	if !mountTypes[m.Type] {
		c.bad(field+".type", "%s: no file system %q", m.Destination, m.Type)
	}
	if m.Type == "bind" && m.Source == "" {
		c.bad(field+".source", "%s: missing", m.Destination)
	}
	for i, o := range m.Options {
		name, _, _ := strings.Cut(o, "=")
		at := fmt.Sprintf("%s.options[%d]", field, i)
		switch {
		case MountOptions[o], dataOptions[m.Type][name]:
		case IsBind(m) && isData(name): // mount(2) takes no notice of the data of a bind mount
		case refusedOptions[name]:
			c.refuse(true, at+": "+o)
		case name == "" || m.Type == "cgroup": // controllers by name, as cgroup v1 has them
		default:
			c.bad(at, "%s: unknown option %q of a %s mount", m.Destination, o, m.Type)
		}
	}
}

// isData tells whether an option belongs to some file system.
func isData(name string) bool {
	for _, options := range dataOptions {
		if options[name] {
			return true
		}
	}
	return false
}
