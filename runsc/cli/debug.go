package cli

import (
	"errors"
	"fmt"
	"os"

	"ringfort/runsc/control"
)

func debugCommand() *command {
	c := newCommand("debug", "<container-id>", "look into a live Sentry: stacks, profiles, messages and system calls", 1, 1)
	stacks := c.flags.Bool("stacks", false, "print the stacks of all goroutines")
	seconds := c.flags.Int("duration", 10, "length of a profile or trace in `seconds`")
	profiles := []struct {
		kind string
		file *string
	}{
		{"cpu", c.flags.String("profile-cpu", "", "write a CPU profile to `file`")},
		{"heap", c.flags.String("profile-heap", "", "write a heap profile to `file`")},
		{"block", c.flags.String("profile-block", "", "write a profile of what goroutines wait for to `file`")},
		{"mutex", c.flags.String("profile-mutex", "", "write a profile of contended locks to `file`")},
		{"trace", c.flags.String("trace", "", "write an execution trace to `file`")},
	}
	tuning := &control.Tuning{}
	c.flags.StringVar(&tuning.Level, "log-level", "", "least `level` of messages in the log from now on: debug, info, warn, error")
	c.flags.StringVar(&tuning.Strace, "strace", "", "`on` or off: print every system call of the applications to the log")
	c.run = func(a *app, args []string) error {
		if *seconds < 0 {
			return fmt.Errorf("--duration: %d is below zero", *seconds)
		}
		ct, err := a.open(args[0])
		if err != nil {
			return err
		}
		defer ct.Close()
		done := false
		if *stacks {
			done = true
			text, err := ct.Stacks()
			if err != nil {
				return err
			}
			fmt.Fprint(a.out, text)
		}
		for _, p := range profiles {
			if *p.file == "" {
				continue
			}
			done = true
			f, err := os.Create(*p.file)
			if err != nil {
				return err
			}
			if err := errors.Join(ct.Profile(p.kind, *seconds, f), f.Close()); err != nil {
				return err
			}
		}
		if *tuning != (control.Tuning{}) {
			log, err := ct.Tune(tuning)
			if err != nil {
				return err
			}
			fmt.Fprintln(a.out, log)
			return nil
		}
		if !done {
			return errors.New("debug: nothing to do: see \"runsc help debug\"")
		}
		return nil
	}
	return c
}
