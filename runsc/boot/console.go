package boot

import (
	"errors"
	"fmt"
	"os"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"ringfort/runsc/control"
	"ringfort/sentry/fs/devpts"
	"ringfort/sentry/kernel"
	"ringfort/sentry/vfs"
)

// drainTime is how long the end of a process waits for its terminal's last output.
const drainTime = time.Second

// openConsole makes the terminal of a process and joins it to the host's.
func (c *container) openConsole(k *kernel.Caller, host *os.File, p *specs.Process) (*devpts.Console, *vfs.Description, error) {
	if host == nil {
		return nil, nil, errors.New("process.terminal: no console was given: use --console-socket, or run in the foreground of a terminal")
	}
	at, err := vfs.Walk(k, vfs.Path{}, "/dev/pts", vfs.FollowLast)
	var sb *vfs.Superblock
	if err == nil {
		sb = at.Mount().Superblock()
		defer at.DecRef()
	}
	if err != nil || sb.Type != "devpts" {
		tty, _ := c.s.k.InitUserNS().KGID(5)
		sb = devpts.New(c.s.k, k, 0o620, tty, 0o666) // without a name inside
	}
	con, d, err := devpts.NewConsole(k, sb, host)
	if err != nil {
		return nil, nil, err
	}
	if p.ConsoleSize != nil {
		con.Resize(uint16(p.ConsoleSize.Height), uint16(p.ConsoleSize.Width))
	}
	uid, _ := c.s.k.InitUserNS().KUID(p.User.UID) // credentials has looked at it
	err = d.SetStat(k, &vfs.SetAttr{Mask: vfs.SetUID, UID: uid})
	if err != nil {
		d.DecRef(k)
		return nil, nil, fmt.Errorf("owner of the console: %w", err)
	}
	return con, d, nil
}

// consoleOf returns the console of a process, nil if it has none.
func (c *container) consoleOf(tg *kernel.ThreadGroup) *devpts.Console {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.consoles[tg]
}

// Resize implements control.Sandbox.
func (s *sandbox) Resize(id string, pid int32, rows, cols uint16) error {
	c, err := s.find(id)
	if err != nil {
		return err
	}
	tg, err := s.process(id, pid)
	if err != nil {
		return err
	}
	con := c.consoleOf(tg)
	if con == nil {
		return &control.Error{Text: "the process has no terminal"}
	}
	con.Resize(rows, cols)
	return nil
}
