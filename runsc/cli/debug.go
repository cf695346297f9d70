package cli

import (
	"errors"
	"fmt"
	"os"
)

func debugCommand() *command {
	c := newCommand("debug", "<container-id>", "look into a live Sentry: stacks and profiles", 1, 1)
	stacks := c.flags.Bool("stacks", false, "print the stacks of all goroutines")
	seconds := c.flags.Int("duration", 10, "length of a CPU profile or trace in `seconds`")
	cpu := c.flags.String("profile-cpu", "", "write a CPU profile to `file`")
	heap := c.flags.String("profile-heap", "", "write a heap profile to `file`")
	trace := c.flags.String("trace", "", "write an execution trace to `file`")
	c.run = func(a *app, args []string) error {
		ct, err := a.open(args[0])
		if err != nil {
			return err
		}
		defer ct.Close()
		if *stacks {
			text, err := ct.Stacks()
			if err != nil {
				return err
			}
			fmt.Fprint(a.out, text)
		}
		for _, p := range []struct{ kind, file string }{{"cpu", *cpu}, {"heap", *heap}, {"trace", *trace}} {
			if p.file == "" {
				continue
			}
			f, err := os.Create(p.file)
			if err != nil {
				return err
			}
			if err := errors.Join(ct.Profile(p.kind, *seconds, f), f.Close()); err != nil {
				return err
			}
		}
		return nil
	}
	return c
}
