package spec

import (
	"errors"
	"fmt"
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A checker collects the first thing that is wrong.
type checker struct{ err error }

// bad records that field has a value that cannot be.
func (c *checker) bad(field, format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%s: %s", field, fmt.Sprintf(format, args...))
	}
}

// refuse records that field is set and cannot be honoured.
func (c *checker) refuse(set bool, field string) {
	if set {
		c.bad(field, "not supported by this runtime")
	}
}

// Check tells what is wrong with a configuration: the first field that cannot be or cannot be honoured.
func Check(s *specs.Spec) error {
	c := &checker{}
	c.version(s.Version)
	c.refuse(s.VM != nil, "vm")
	if s.Root == nil || s.Root.Path == "" {
		c.bad("root.path", "missing")
	}
	if s.Process == nil {
		c.bad("process", "missing")
	} else {
		c.process(s.Process)
	}
	if strings.ContainsRune(s.Hostname, 0) || len(s.Hostname) > 64 {
		c.bad("hostname", "%q is longer than 64 bytes", s.Hostname)
	}
	if len(s.Domainname) > 64 {
		c.bad("domainname", "%q is longer than 64 bytes", s.Domainname)
	}
	for i := range s.Mounts {
		c.mount(fmt.Sprintf("mounts[%d]", i), &s.Mounts[i])
	}
	if s.Hooks != nil {
		c.hooks(s.Hooks)
	}
	if s.Linux != nil {
		c.linux(s)
	}
	return c.err
}

// version takes what has the major number 1, or is a 0.x of before that was never refused by any runtime.
func (c *checker) version(v string) {
	var major, minor, patch int
	if v == "" {
		c.bad("ociVersion", "missing")
		return
	}
	if n, _ := fmt.Sscanf(v, "%d.%d.%d", &major, &minor, &patch); n != 3 {
		c.bad("ociVersion", "%q is not a version", v)
	} else if major > 1 {
		c.bad("ociVersion", "%q is newer than %s", v, specs.Version)
	}
}

// CheckProcess is Check for the process of an exec.
func CheckProcess(p *specs.Process) error {
	c := &checker{}
	c.process(p)
	return c.err
}

func (c *checker) process(p *specs.Process) {
	if len(p.Args) == 0 {
		c.bad("process.args", "missing or empty")
	}
	for i, a := range p.Args {
		if strings.ContainsRune(a, 0) {
			c.bad(fmt.Sprintf("process.args[%d]", i), "contains a null byte")
		}
	}
	for i, e := range p.Env {
		if strings.ContainsRune(e, 0) {
			c.bad(fmt.Sprintf("process.env[%d]", i), "contains a null byte")
		}
	}
	if p.Cwd == "" {
		c.bad("process.cwd", "missing")
	} else if !path.IsAbs(p.Cwd) {
		c.bad("process.cwd", "%q is not an absolute path", p.Cwd)
	}
	c.capabilities(p.Capabilities)
	seen := make(map[string]bool)
	for i, r := range p.Rlimits {
		field := fmt.Sprintf("process.rlimits[%d]", i)
		switch {
		case !knownRlimit(r.Type):
			c.bad(field+".type", "unknown limit %q", r.Type)
		case seen[r.Type]:
			c.bad(field+".type", "%s is there twice", r.Type)
		case r.Soft > r.Hard:
			c.bad(field, "%s: soft limit %d is above hard limit %d", r.Type, r.Soft, r.Hard)
		}
		seen[r.Type] = true
	}
	if p.OOMScoreAdj != nil && (*p.OOMScoreAdj < -1000 || *p.OOMScoreAdj > 1000) {
		c.bad("process.oomScoreAdj", "%d is not between -1000 and 1000", *p.OOMScoreAdj)
	}
	if p.User.Umask != nil && *p.User.Umask > 0o777 {
		c.bad("process.user.umask", "%#o is no umask", *p.User.Umask)
	}
	c.refuse(p.ApparmorProfile != "" && p.ApparmorProfile != "unconfined", "process.apparmorProfile")
	c.refuse(p.SelinuxLabel != "", "process.selinuxLabel")
	c.refuse(p.IOPriority != nil, "process.ioPriority")
	c.refuse(p.ExecCPUAffinity != nil, "process.execCPUAffinity")
	c.refuse(p.Scheduler != nil && p.Scheduler.Policy != specs.SchedOther, "process.scheduler")
}

// rlimitNames are the names of getrlimit(2).
var rlimitNames = []string{
	"RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_CPU", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_LOCKS", "RLIMIT_MEMLOCK",
	"RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_RSS", "RLIMIT_RTPRIO", "RLIMIT_RTTIME",
	"RLIMIT_SIGPENDING", "RLIMIT_STACK",
}

func knownRlimit(name string) bool {
	for _, n := range rlimitNames {
		if n == name {
			return true
		}
	}
	return false
}

func (c *checker) capabilities(caps *specs.LinuxCapabilities) {
	if caps == nil {
		return
	}
	for _, set := range []struct {
		name string
		caps []string
	}{
		{"bounding", caps.Bounding}, {"effective", caps.Effective}, {"inheritable", caps.Inheritable},
		{"permitted", caps.Permitted}, {"ambient", caps.Ambient},
	} {
		for i, name := range set.caps {
			if CapabilityNumber(name) < 0 {
				c.bad(fmt.Sprintf("process.capabilities.%s[%d]", set.name, i), "unknown capability %q", name)
			}
		}
	}
}

func (c *checker) hooks(h *specs.Hooks) {
	for _, kind := range []struct {
		name  string
		hooks []specs.Hook
	}{
		//lint:ignore SA1019 deprecated hooks are hooks
		{"prestart", h.Prestart}, {"createRuntime", h.CreateRuntime}, {"createContainer", h.CreateContainer},
		{"startContainer", h.StartContainer}, {"poststart", h.Poststart}, {"poststop", h.Poststop},
	} {
		for i, hook := range kind.hooks {
			field := fmt.Sprintf("hooks.%s[%d]", kind.name, i)
			if !path.IsAbs(hook.Path) {
				c.bad(field+".path", "%q is not an absolute path", hook.Path)
			}
			if hook.Timeout != nil && *hook.Timeout <= 0 {
				c.bad(field+".timeout", "%d is not above zero", *hook.Timeout)
			}
		}
	}
}

func (c *checker) linux(s *specs.Spec) {
	l := s.Linux
	c.userNamespace(s)
	c.refuse(len(l.NetDevices) > 0, "linux.netDevices")
	c.refuse(l.MountLabel != "", "linux.mountLabel")
	c.refuse(l.IntelRdt != nil, "linux.intelRdt")
	c.refuse(l.MemoryPolicy != nil, "linux.memoryPolicy")
	c.refuse(len(l.TimeOffsets) > 0, "linux.timeOffsets")
	c.refuse(l.Personality != nil && (l.Personality.Domain != specs.PerLinux || len(l.Personality.Flags) > 0), "linux.personality")
	switch l.RootfsPropagation {
	case "", "private", "rprivate", "slave", "rslave", "unbindable", "runbindable", "shared", "rshared":
	default:
		c.bad("linux.rootfsPropagation", "unknown value %q", l.RootfsPropagation)
	}
	c.namespaces(l.Namespaces)
	for i, d := range l.Devices {
		c.device(fmt.Sprintf("linux.devices[%d]", i), &d)
	}
	for i, p := range l.MaskedPaths {
		if !path.IsAbs(p) {
			c.bad(fmt.Sprintf("linux.maskedPaths[%d]", i), "%q is not an absolute path", p)
		}
	}
	for i, p := range l.ReadonlyPaths {
		if !path.IsAbs(p) {
			c.bad(fmt.Sprintf("linux.readonlyPaths[%d]", i), "%q is not an absolute path", p)
		}
	}
	for key := range l.Sysctl {
		c.sysctl(key)
	}
	if r := l.Resources; r != nil {
		c.resources(r)
	}
	c.seccomp(l.Seccomp)
}

// sysctl takes what belongs to a namespace of the container (sysctl(5) lists which are), and the names of it.
func (c *checker) sysctl(key string) {
	name := strings.ReplaceAll(key, "/", ".")
	for _, prefix := range []string{"net.", "fs.mqueue.", "kernel.shm", "kernel.msg"} {
		if strings.HasPrefix(name, prefix) && name != prefix {
			return
		}
	}
	switch name {
	case "kernel.sem", "kernel.hostname", "kernel.domainname", "user.max_user_namespaces":
		return
	}
	c.bad("linux.sysctl", "%q is not in a separate kernel namespace", key)
}

func (c *checker) namespaces(list []specs.LinuxNamespace) {
	seen := make(map[specs.LinuxNamespaceType]bool)
	for i, ns := range list {
		field := fmt.Sprintf("linux.namespaces[%d]", i)
		if seen[ns.Type] {
			c.bad(field+".type", "%q is there twice", ns.Type)
		}
		seen[ns.Type] = true
		if ns.Path != "" && !path.IsAbs(ns.Path) {
			c.bad(field+".path", "%q is not an absolute path", ns.Path)
		}
		switch ns.Type {
		case specs.NetworkNamespace, specs.PIDNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.UserNamespace,
			specs.MountNamespace, specs.CgroupNamespace:
			// Whether there is one to join is seen when the container is created.
		case specs.TimeNamespace:
			c.refuse(true, field+": the "+string(ns.Type)+" namespace")
		default:
			c.bad(field+".type", "unknown namespace %q", ns.Type)
		}
	}
}

func (c *checker) device(field string, d *specs.LinuxDevice) {
	if !path.IsAbs(d.Path) {
		c.bad(field+".path", "%q is not an absolute path", d.Path)
	}
	switch d.Type {
	case "c", "b", "u":
		if d.Major < 0 || d.Minor < 0 {
			c.bad(field, "%s: %d:%d is no device number", d.Path, d.Major, d.Minor)
		}
	case "p":
	default:
		c.bad(field+".type", "%q is none of b, c, u, p", d.Type)
	}
}

func (c *checker) resources(r *specs.LinuxResources) {
	if m := r.Memory; m != nil {
		if m.Limit != nil && m.Swap != nil && *m.Swap > 0 && *m.Limit > *m.Swap {
			c.bad("linux.resources.memory.swap", "%d is below the limit %d", *m.Swap, *m.Limit)
		}
		if m.Swappiness != nil && *m.Swappiness > 200 {
			c.bad("linux.resources.memory.swappiness", "%d is above 200", *m.Swappiness)
		}
	}
	for i, d := range r.Devices {
		switch d.Type {
		case "", "a", "b", "c":
		default:
			c.bad(fmt.Sprintf("linux.resources.devices[%d].type", i), "%q is none of a, b, c", d.Type)
		}
		if strings.Trim(d.Access, "rwm") != "" {
			c.bad(fmt.Sprintf("linux.resources.devices[%d].access", i), "%q is not made of r, w and m", d.Access)
		}
	}
}

func (c *checker) seccomp(s *specs.LinuxSeccomp) {
	if s == nil {
		return
	}
	c.action("linux.seccomp.defaultAction", s.DefaultAction)
	c.refuse(s.ListenerPath != "", "linux.seccomp.listenerPath")
	for i, call := range s.Syscalls {
		field := fmt.Sprintf("linux.seccomp.syscalls[%d]", i)
		if len(call.Names) == 0 {
			c.bad(field+".names", "missing or empty")
		}
		c.action(field+".action", call.Action)
		for j, a := range call.Args {
			if a.Index > 5 {
				c.bad(fmt.Sprintf("%s.args[%d].index", field, j), "%d is above 5", a.Index)
			}
			switch a.Op {
			case specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo, specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpMaskedEqual:
			default:
				c.bad(fmt.Sprintf("%s.args[%d].op", field, j), "unknown operator %q", a.Op)
			}
		}
	}
}

func (c *checker) action(field string, a specs.LinuxSeccompAction) {
	switch a {
	case specs.ActKill, specs.ActKillProcess, specs.ActKillThread, specs.ActTrap, specs.ActErrno, specs.ActTrace, specs.ActAllow, specs.ActLog:
	case specs.ActNotify:
		c.refuse(true, field+": "+string(a))
	default:
		c.bad(field, "unknown action %q", a)
	}
}

// ErrID is returned for the id of a container that cannot be one.
var ErrID = errors.New("invalid container id format")

// CheckID tells whether id can name a container: letters, digits and _ + - . as with runc.
func CheckID(id string) error {
	if id == "" || id == "." || id == ".." || len(id) > 1024 {
		return fmt.Errorf("%w: %q", ErrID, id)
	}
	for _, r := range id {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', strings.ContainsRune("_+-.", r):
		default:
			return fmt.Errorf("%w: %q", ErrID, id)
		}
	}
	return nil
}

// NetworkNamespace finds the network namespace of a configuration.
func NetworkNamespace(s *specs.Spec) (ns specs.LinuxNamespace, ok bool) {
	return Namespace(s, specs.NetworkNamespace)
}

// UserNamespace finds the user namespace of a configuration.
func UserNamespace(s *specs.Spec) (ns specs.LinuxNamespace, ok bool) {
	return Namespace(s, specs.UserNamespace)
}

// Namespace finds the namespace of a kind in a configuration.
func Namespace(s *specs.Spec, kind specs.LinuxNamespaceType) (ns specs.LinuxNamespace, ok bool) {
	if s.Linux != nil {
		for _, ns := range s.Linux.Namespaces {
			if ns.Type == kind {
				return ns, true
			}
		}
	}
	return ns, false
}
