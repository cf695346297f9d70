package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"ringfort/runsc/container"
)

// completeWord is the command that the scripts of shells call: it gets the words after "runsc" up to the cursor and
// prints what the last of them can become, a tab and a description, or fileNames.
const completeWord = "__complete"

// fileNames tells a shell to complete names of files.
const fileNames = ":file"

// scripts call completeWord; what a shell does with the answer is its own affair.
var scripts = map[string]string{
	"bash": `_runsc() {
	local out IFS=$'\n'
	out=$("${COMP_WORDS[0]}" ` + completeWord + ` "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
	if [ "$out" = "` + fileNames + `" ]; then
		compopt -o default 2>/dev/null
		COMPREPLY=()
	else
		COMPREPLY=($(compgen -W "$(cut -f1 <<<"$out")" -- "${COMP_WORDS[COMP_CWORD]}"))
	fi
}
complete -F _runsc runsc
`,
	"zsh": `#compdef runsc
_runsc() {
	local -a lines found
	local l
	lines=("${(@f)$("${words[1]}" ` + completeWord + ` "${(@)words[2,CURRENT]}" 2>/dev/null)}")
	if [[ $lines[1] = ` + fileNames + ` ]]; then
		_files
		return
	fi
	for l in $lines; do found+=("${${l//:/\\:}/$'\t'/:}"); done
	_describe runsc found
}
compdef _runsc runsc
`,
	"fish": `function __runsc_complete
	set -l words (commandline -opc) (commandline -ct)
	set -l out (command runsc ` + completeWord + ` $words[2..-1] 2>/dev/null)
	if test "$out[1]" = "` + fileNames + `"
		__fish_complete_path (commandline -ct)
	else
		printf '%s\n' $out
	end
end
complete -c runsc -f -a '(__runsc_complete)'
`,
}

func completionCommand() *command {
	c := newCommand("completion", "bash|zsh|fish", "print a script that makes a shell complete runsc", 1, 1)
	c.run = func(a *app, args []string) error {
		script, ok := scripts[args[0]]
		if !ok {
			return fmt.Errorf("completion: no such shell: %q (bash, zsh, fish)", args[0])
		}
		_, err := io.WriteString(a.out, script)
		return err
	}
	return c
}

// values are what options with few values can have.
var values = map[string][]string{
	"platform": {"auto", "systrap", "ptrace"}, "network": {"sandbox", "none"}, "overlay": {"none", "memory"},
	"log-format": {"text", "json"}, "format": {"table", "json"}, "f": {"table", "json"}, "log-level": {"debug", "info", "warn", "error"},
}

// A completer walks over the words of a command line.
type completer struct {
	out  io.Writer
	app  *app
	word string // the last one
}

// complete prints what the last word can become.
func complete(out io.Writer, words []string) {
	if len(words) == 0 {
		return
	}
	logrus.SetOutput(io.Discard)
	c := &completer{out: out, app: &app{deps: &Deps{}, out: io.Discard}, word: words[len(words)-1]}
	global := flag.NewFlagSet("runsc", flag.ContinueOnError)
	global.SetOutput(io.Discard)
	c.app.globalFlags(global)
	words = words[:len(words)-1]
	rest, done := c.options(global, words)
	if done {
		return
	}
	if len(rest) == 0 {
		for _, cmd := range commands() {
			c.offer(cmd.name, cmd.about)
		}
		c.offerFlags(global)
		return
	}
	for _, cmd := range commands() {
		if cmd.name == rest[0] {
			c.command(cmd, rest[1:])
		}
	}
}

// options reads the options at the beginning of words and returns what follows. It is done when the last word is the
// value of one.
func (c *completer) options(fs *flag.FlagSet, words []string) (rest []string, done bool) {
	for len(words) > 0 && strings.HasPrefix(words[0], "-") && words[0] != "-" {
		name, _, inOne := strings.Cut(strings.TrimLeft(words[0], "-"), "=")
		f := fs.Lookup(name)
		words = words[1:]
		if f == nil || inOne || isBool(f) {
			continue
		}
		if len(words) == 0 {
			c.values(name)
			return nil, true
		}
		fs.Set(name, words[0]) // --root, for the names of containers
		words = words[1:]
	}
	return words, false
}

func isBool(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// command completes the words after a command.
func (c *completer) command(cmd *command, words []string) {
	given := 0
	for {
		rest, done := c.options(cmd.flags, words)
		if done {
			return
		}
		if len(rest) == 0 {
			break
		}
		given++
		words = rest[1:]
		if cmd.rest {
			given += len(words)
			break
		}
	}
	if strings.HasPrefix(c.word, "-") && (given == 0 || !cmd.rest) {
		c.offerFlags(cmd.flags)
		return
	}
	c.argument(cmd, given)
}

// argument completes the argument number n of a command.
func (c *completer) argument(cmd *command, n int) {
	switch {
	case n == 0 && strings.HasPrefix(cmd.args, "<container-id>") && cmd.name != "create" && cmd.name != "run":
		c.containers()
	case n == 0 && cmd.name == "help":
		for _, o := range commands() {
			c.offer(o.name, o.about)
		}
	case n == 0 && cmd.name == "completion":
		for name := range scripts {
			c.offer(name, "")
		}
	case n == 1 && cmd.name == "kill":
		for sig := unix.Signal(1); sig < 32; sig++ {
			if name := strings.TrimPrefix(unix.SignalName(sig), "SIG"); name != "" {
				c.offer(name, "")
			}
		}
	case cmd.max < 0 || n < cmd.max:
		fmt.Fprintln(c.out, fileNames)
	}
}

// containers offers the names of containers.
func (c *completer) containers() {
	if c.app.complete() != nil {
		return
	}
	ids, err := container.List(&c.app.opts)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return
	}
	for _, id := range ids {
		c.offer(id, "container")
	}
}

// values offers the values of an option.
func (c *completer) values(option string) {
	list, ok := values[option]
	if !ok {
		fmt.Fprintln(c.out, fileNames)
		return
	}
	for _, v := range list {
		c.offer(v, "")
	}
}

func (c *completer) offerFlags(fs *flag.FlagSet) {
	fs.VisitAll(func(f *flag.Flag) {
		if len(f.Name) > 1 {
			_, usage := flag.UnquoteUsage(f)
			c.offer("--"+f.Name, usage)
		}
	})
}

// offer prints a word if it goes on where the last one ends.
func (c *completer) offer(word, about string) {
	if !strings.HasPrefix(word, c.word) {
		return
	}
	if about != "" {
		word += "\t" + about
	}
	fmt.Fprintln(c.out, word)
}
