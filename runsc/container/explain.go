package container

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ringfort/runsc/control"
)

// explain finds out why a process of the sandbox did not answer: the one true reason stands in its last words.
func (b *birth) explain(err error, p *child) error {
	if !errors.Is(err, control.ErrGone) || p == nil {
		return err
	}
	how := ""
	wait := make(chan *os.ProcessState, 1)
	go func() { st, _ := p.Wait(); wait <- st }()
	select {
	case st := <-wait:
		how = describe(st)
	case <-time.After(5 * time.Second):
		how = "it hung up without ending"
	}
	what := "Sentry"
	switch p {
	case b.gofer:
		what = "gofer"
	case b.keeper:
		what = "keeper"
	case b.forwarder:
		what = "forwarder"
	case b.follower:
		what = "follower"
	}
	if words := lastWords(b.LogFile); words != "" {
		return fmt.Errorf("the %s failed (%s): %s", what, how, words)
	}
	return fmt.Errorf("the %s failed (%s) and left no message in %s", what, how, b.LogFile)
}

func describe(st *os.ProcessState) string {
	if st == nil {
		return "ended"
	}
	if ws, ok := st.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return "killed by " + unix.SignalName(ws.Signal())
	}
	return fmt.Sprintf("exit status %d", st.ExitCode())
}

// deathMarks begin the line that tells why a Go program died.
var deathMarks = []string{"seccomp: ", "panic: ", "fatal error: ", "SIG", "runtime: "}

// lastWords returns the line of a log that tells why its writer died, or else its last line.
func lastWords(file string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	const window = 256 << 10
	if st, err := f.Stat(); err == nil && st.Size() > window {
		f.Seek(-window, io.SeekEnd)
	}
	data, err := io.ReadAll(io.LimitReader(f, window))
	if err != nil {
		return ""
	}
	lines := strings.Split(string(bytes.TrimSpace(data)), "\n")
	for _, mark := range deathMarks {
		for i := len(lines) - 1; i >= 0; i-- {
			if strings.HasPrefix(lines[i], mark) {
				return lines[i]
			}
		}
	}
	return strings.TrimSpace(lines[len(lines)-1])
}
