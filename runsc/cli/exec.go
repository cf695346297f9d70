package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"ringfort/runsc/container"
	"ringfort/runsc/spec"
)

// execFlags are what exec can change of the container's own process.
type execFlags struct {
	file, cwd, user   string
	env, caps, groups list
	tty, noNewPrivs   bool
	refused           [3]string // apparmor, process-label, cgroup
	ignorePaused      bool
}

func execCommand() *command {
	c := newCommand("exec", "<container-id> <command> [arguments]", "run a process in a running container", 1, -1)
	c.rest = true
	eo := &container.ExecOptions{}
	f := &execFlags{}
	fs := c.flags
	both := func(long, short, value, usage string, to *string) {
		fs.StringVar(to, long, value, usage)
		fs.StringVar(to, short, value, usage)
	}
	both("process", "p", "", "JSON `file` of the process", &f.file)
	both("user", "u", "", "`uid[:gid]`", &f.user)
	fs.StringVar(&f.cwd, "cwd", "", "working `directory`")
	for _, name := range []string{"env", "e"} {
		fs.Var(&f.env, name, "set an environment variable: `NAME=value`")
	}
	for _, name := range []string{"cap", "c"} {
		fs.Var(&f.caps, name, "add a `capability`")
	}
	for _, name := range []string{"additional-gids", "g"} {
		fs.Var(&f.groups, name, "add a group by `gid`")
	}
	for _, name := range []string{"tty", "t"} {
		fs.BoolVar(&f.tty, name, false, "give it a terminal")
	}
	for _, name := range []string{"detach", "d"} {
		fs.BoolVar(&eo.Detach, name, false, "do not wait for its end")
	}
	fs.BoolVar(&f.noNewPrivs, "no-new-privs", false, "no new privileges by execve")
	fs.BoolVar(&f.ignorePaused, "ignore-paused", false, "taken for compatibility: an exec waits for no resume")
	fs.StringVar(&eo.PidFile, "pid-file", "", "`file` to write the PID on the host to")
	fs.StringVar(&eo.InternalPidFile, "internal-pid-file", "", "`file` to write the PID inside of the container to")
	fs.StringVar(&eo.ConsoleSocket, "console-socket", "", "unix `socket` that takes the master of the terminal")
	fs.IntVar(&eo.PreserveFDs, "preserve-fds", 0, "pass `N` more descriptors, from 3 on")
	fs.StringVar(&f.refused[0], "apparmor", "", "not supported")
	fs.StringVar(&f.refused[1], "process-label", "", "not supported")
	fs.StringVar(&f.refused[2], "cgroup", "", "not supported")
	c.run = func(a *app, args []string) error {
		ct, err := a.open(args[0])
		if err != nil {
			return err
		}
		defer ct.Close()
		if eo.Process, err = f.process(ct.Spec.Process, args[1:]); err != nil {
			return err
		}
		a.exitCode, err = ct.Exec(eo)
		if err != nil && a.exitCode == 0 {
			a.exitCode = 255 // as runc's exec
		}
		return err
	}
	return c
}

// process makes the description of the process: a file's, or the container's own with changes.
func (f *execFlags) process(base *specs.Process, args []string) (*specs.Process, error) {
	for i, name := range []string{"apparmor", "process-label", "cgroup"} {
		if f.refused[i] != "" && f.refused[i] != "unconfined" {
			return nil, fmt.Errorf("--%s: not supported by this runtime", name)
		}
	}
	if f.file != "" {
		if len(args) > 0 {
			return nil, errors.New("--process and a command exclude each other")
		}
		return spec.LoadProcess(f.file)
	}
	if len(args) == 0 {
		return nil, errors.New("process args cannot be empty")
	}
	p := *base
	p.Args, p.Terminal, p.ConsoleSize, p.OOMScoreAdj = args, f.tty, nil, nil
	p.Env = append(p.Env[:len(p.Env):len(p.Env)], f.env...)
	if f.cwd != "" {
		p.Cwd = f.cwd
	}
	if f.noNewPrivs {
		p.NoNewPrivileges = true
	}
	if err := f.setUser(&p); err != nil {
		return nil, err
	}
	f.addCapabilities(&p)
	return &p, spec.CheckProcess(&p)
}

func (f *execFlags) setUser(p *specs.Process) error {
	if f.user != "" {
		uid, gid, found := strings.Cut(f.user, ":")
		n, err := strconv.ParseUint(uid, 10, 32)
		if err != nil {
			return fmt.Errorf("--user: %q is not a number", uid)
		}
		p.User.UID = uint32(n)
		if found {
			if n, err = strconv.ParseUint(gid, 10, 32); err != nil {
				return fmt.Errorf("--user: %q is not a number", gid)
			}
			p.User.GID = uint32(n)
		}
	}
	for _, g := range f.groups {
		n, err := strconv.ParseUint(g, 10, 32)
		if err != nil {
			return fmt.Errorf("--additional-gids: %q is not a number", g)
		}
		p.User.AdditionalGids = append(p.User.AdditionalGids[:len(p.User.AdditionalGids):len(p.User.AdditionalGids)], uint32(n))
	}
	return nil
}

func (f *execFlags) addCapabilities(p *specs.Process) {
	if len(f.caps) == 0 {
		return
	}
	caps := specs.LinuxCapabilities{}
	if p.Capabilities != nil {
		caps = *p.Capabilities
	}
	for _, set := range []*[]string{&caps.Bounding, &caps.Effective, &caps.Permitted} {
		*set = append((*set)[:len(*set):len(*set)], f.caps...)
	}
	p.Capabilities = &caps
}
