package cli

import (
	"flag"
	"fmt"
	"sort"
	"strings"
)

// helpCommand prints what there is.
func helpCommand() *command {
	c := newCommand("help", "[command]", "show help", 0, 1)
	all := c.flags.Bool("all", false, "show the manual of every command")
	c.run = func(a *app, args []string) error {
		if err := a.help(strings.Join(args, "")); err != nil || !*all {
			return err
		}
		for _, c := range commands() {
			fmt.Fprintf(a.out, "\n%s\n\n", strings.Repeat("-", 80))
			a.printPage(c)
		}
		return nil
	}
	return c
}

func (a *app) help(name string) error {
	if name == "" {
		fmt.Fprint(a.out, "runsc runs OCI containers behind a kernel of their own.\n\nUsage: runsc [global options] command [options] [arguments]\n\nCommands:\n")
		for _, c := range commands() {
			fmt.Fprintf(a.out, "  %-13s %s\n", c.name, c.about)
		}
		fmt.Fprint(a.out, "\nGlobal options:\n")
		fs := flag.NewFlagSet("", flag.ContinueOnError)
		new(app).globalFlags(fs)
		a.printFlags(fs)
		fmt.Fprint(a.out, general)
		return nil
	}
	for _, c := range commands() {
		if c.name == name {
			a.printPage(c)
			return nil
		}
	}
	return fmt.Errorf("help: no such command: %q", name)
}

// printPage prints the manual of a command.
func (a *app) printPage(c *command) {
	options := ""
	c.flags.VisitAll(func(*flag.Flag) { options = " [options]" })
	fmt.Fprintf(a.out, "runsc %s - %s\n\nUsage: runsc [global options] %s\n", c.name, c.about, strings.TrimSpace(c.name+options+" "+c.args))
	p := manual[c.name]
	fmt.Fprintf(a.out, "\n%s\n", p.about)
	if options != "" {
		fmt.Fprint(a.out, "\nOptions:\n")
		a.printFlags(c.flags)
	}
	fmt.Fprintf(a.out, "\nExamples:\n  %s\n", strings.ReplaceAll(p.examples, "\n", "\n  "))
}

// printFlags lists options; several names of one value share a line.
func (a *app) printFlags(fs *flag.FlagSet) {
	names := make(map[flag.Value][]string)
	usage := make(map[flag.Value]*flag.Flag)
	fs.VisitAll(func(f *flag.Flag) {
		names[f.Value] = append(names[f.Value], f.Name)
		usage[f.Value] = f
	})
	var lines []string
	for v, n := range names {
		sort.Slice(n, func(i, j int) bool { return len(n[i]) > len(n[j]) })
		for i := range n {
			n[i] = "--" + n[i]
			if len(n[i]) == 3 {
				n[i] = n[i][1:]
			}
		}
		value, text := flag.UnquoteUsage(usage[v])
		switch usage[v].DefValue {
		case "", "0", "false":
		default:
			if !strings.Contains(text, "(default") {
				text += " (default " + usage[v].DefValue + ")"
			}
		}
		lines = append(lines, fmt.Sprintf("  %-28s %s\n", strings.TrimSpace(strings.Join(n, ", ")+" "+value), text))
	}
	sort.Strings(lines)
	fmt.Fprint(a.out, strings.Join(lines, ""))
}
