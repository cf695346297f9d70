package cli

import (
	"errors"
	"fmt"
	"strings"
)

// A Syscall is one row of the table of system calls.
type Syscall struct {
	Number  int    `json:"number"`
	Name    string `json:"name"`
	Support string `json:"support"`
	Note    string `json:"note,omitempty"`
}

func syscallsCommand() *command {
	c := newCommand("syscalls", "", "print the table of system calls and how far each is supported", 0, 0)
	var format string
	for _, name := range []string{"format", "f"} {
		c.flags.StringVar(&format, name, "table", "`table`, json or markdown")
	}
	c.run = func(a *app, _ []string) error {
		if a.deps.Syscalls == nil {
			return errors.New("syscalls: this build has no table")
		}
		rows := a.deps.Syscalls()
		switch format {
		case "json":
			return a.printJSON(rows)
		case "markdown":
			fmt.Fprint(a.out, "| number | name | support | note |\n|---|---|---|---|\n")
			for _, r := range rows {
				fmt.Fprintf(a.out, "| %d | %s | %s | %s |\n", r.Number, r.Name, r.Support, strings.ReplaceAll(r.Note, "|", "\\|"))
			}
		case "table":
			for _, r := range rows {
				fmt.Fprintln(a.out, strings.TrimRight(fmt.Sprintf("%3d %-24s %-8s %s", r.Number, r.Name, r.Support, r.Note), " "))
			}
		default:
			return fmt.Errorf("invalid format option %q (table, json, markdown)", format)
		}
		return nil
	}
	return c
}
