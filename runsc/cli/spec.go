package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"ringfort/runsc/spec"
)

func specCommand() *command {
	c := newCommand("spec", "[-- command]", "write a config.json to begin with", 0, -1)
	c.rest = true
	var bundle, cwd string
	for _, name := range []string{"bundle", "b"} {
		c.flags.StringVar(&bundle, name, ".", "`directory` to write it to")
	}
	c.flags.StringVar(&cwd, "cwd", "/", "working `directory` of the process")
	rootless := c.flags.Bool("rootless", false, "for the user who calls: a user namespace in which he is root, no limits")
	noTerminal := c.flags.Bool("no-terminal", false, "give the process no terminal, but the standard descriptors of runsc")
	c.run = func(a *app, args []string) error {
		file := filepath.Join(bundle, spec.ConfigName)
		s := spec.Template()
		s.Process.Cwd, s.Process.Terminal = cwd, !*noTerminal
		if len(args) > 0 {
			s.Process.Args = args
		}
		if *rootless {
			l := s.Linux
			l.Namespaces = append(l.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
			l.UIDMappings = []specs.LinuxIDMapping{{HostID: uint32(os.Geteuid()), Size: 1}}
			l.GIDMappings = []specs.LinuxIDMapping{{HostID: uint32(os.Getegid()), Size: 1}}
			l.Resources = nil
		}
		data, err := json.MarshalIndent(s, "", "\t")
		if err != nil {
			return err
		}
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if os.IsExist(err) {
			return fmt.Errorf("file %s exists. Remove it first", file)
		}
		if err != nil {
			return err
		}
		if _, err = f.Write(append(data, '\n')); err != nil {
			f.Close()
			return err
		}
		return f.Close()
	}
	return c
}
