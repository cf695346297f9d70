package cli

import (
	"fmt"
	"time"

	"ringfort/runsc/control"
)

func psCommand() *command {
	c := newCommand("ps", "<container-id> [ps options]", "list the processes of a container", 1, -1)
	c.rest = true
	var format string
	for _, name := range []string{"format", "f"} {
		c.flags.StringVar(&format, name, "table", "`table`, or json: the PIDs on the host, for engines")
	}
	c.run = func(a *app, args []string) error {
		ct, err := a.open(args[0])
		if err != nil {
			return err
		}
		defer ct.Close()
		switch format {
		case "table":
			processes, err := ct.Processes()
			if err != nil {
				return err
			}
			a.printProcesses(processes)
			return nil
		case "json":
			pids, err := ct.HostPIDs()
			if err != nil {
				return err
			}
			return a.printJSON(pids)
		}
		return fmt.Errorf("invalid format option %q (table, json)", format)
	}
	return c
}

// printProcesses prints what `ps -ef` prints.
func (a *app) printProcesses(ps []control.Process) {
	fmt.Fprintf(a.out, "%-8s %7s %7s %2s %5s %-8s %8s %s\n", "UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD")
	for _, p := range ps {
		start := time.Unix(p.StartUnix, 0)
		stime := start.Format("15:04")
		if time.Since(start) > 24*time.Hour {
			stime = start.Format("Jan02")
		}
		cpu := p.CPUNanos / int64(time.Second)
		command := p.Command
		if command == "" {
			command = "[" + p.Comm + "]"
		}
		tty := p.TTY
		if tty == "" {
			tty = "?"
		}
		fmt.Fprintf(a.out, "%-8d %7d %7d %2d %5s %-8s %02d:%02d:%02d %s\n", p.UID, p.PID, p.PPID, int(p.CPUShare), stime, tty,
			cpu/3600, cpu/60%60, cpu%60, command)
	}
}
