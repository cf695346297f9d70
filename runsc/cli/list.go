package cli

import (
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"ringfort/runsc/container"
)

func listCommand() *command {
	c := newCommand("list", "", "list the containers", 0, 0)
	var format string
	var quiet bool
	for _, name := range []string{"format", "f"} {
		c.flags.StringVar(&format, name, "table", "`table` or json")
	}
	for _, name := range []string{"quiet", "q"} {
		c.flags.BoolVar(&quiet, name, false, "ids only")
	}
	c.run = func(a *app, _ []string) error {
		if format != "table" && format != "json" {
			return fmt.Errorf("invalid format option %q (table, json)", format)
		}
		ids, err := container.List(&a.opts)
		if err != nil {
			return err
		}
		reports := []*container.Report{}
		for _, id := range ids {
			if quiet {
				fmt.Fprintln(a.out, id)
				continue
			}
			ct, err := a.open(id)
			if err != nil {
				fmt.Fprintln(os.Stderr, "runsc:", err)
				continue
			}
			reports = append(reports, ct.Report())
			ct.Close()
		}
		switch {
		case quiet:
			return nil
		case format == "json":
			return a.printJSON(reports)
		}
		w := tabwriter.NewWriter(a.out, 12, 1, 3, ' ', 0)
		fmt.Fprint(w, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER\n")
		for _, r := range reports {
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", r.ID, r.Pid, r.Status, r.Bundle, r.Created.Format(time.RFC3339Nano), r.Owner)
		}
		return w.Flush()
	}
	return c
}
