package cli

import "errors"

func syscallsCommand() *command {
	c := newCommand("syscalls", "", "print the table of system calls and how far each is supported", 0, 0)
	var format string
	for _, name := range []string{"format", "f"} {
		c.flags.StringVar(&format, name, "table", "`table` or json")
	}
	c.run = func(a *app, _ []string) error {
		if a.deps.WriteSyscalls == nil {
			return errors.New("syscalls: this build has no table")
		}
		return a.deps.WriteSyscalls(a.out, format)
	}
	return c
}
