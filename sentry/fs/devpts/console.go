package devpts

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"ringfort/sentry/kernel"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

// Console joins a terminal of the sandbox to a host terminal in raw mode: what
// is typed there is typed here, and what is shown here is shown there.
type Console struct {
	t    *terminal
	host *os.File
	wake chan struct{}
	done chan struct{}
}

// NewConsole makes a terminal in sb, a devpts, and joins it to host, which it
// owns from then on. The description is the replica.
func NewConsole(c vfs.Caller, sb *vfs.Superblock, host *os.File) (*Console, *vfs.Description, error) {
	root, ok := sb.Root().Inode().(interface{ Get(string) vfs.Inode })
	if !ok {
		return nil, nil, fmt.Errorf("the terminals' file system is not a devpts")
	}
	ptmx, ok := root.Get("ptmx").(*node)
	if !ok {
		return nil, nil, fmt.Errorf("the terminals' file system is not a devpts")
	}
	t, err := ptmx.inst.newTerminal(c)
	if err != nil {
		return nil, nil, fmt.Errorf("make a terminal: %w", err)
	}
	t.locked = false
	d, err := ptmx.inst.openIndex(c, t, unix.O_RDWR)
	if err != nil {
		return nil, nil, err
	}
	// A descriptor of our own, non-blocking, so that closing it ends a read.
	fd, err := unix.Dup(int(host.Fd()))
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("console: %w", err)
	}
	host.Close()
	con := &Console{t: t, host: os.NewFile(uintptr(fd), "console"), wake: make(chan struct{}, 1), done: make(chan struct{})}
	go con.typed()
	go con.show()
	return con, d, nil
}

// Notify implements wait.Notifiee.
func (c *Console) Notify(*wait.Waiter, wait.Events) {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Resize sets the window size.
func (c *Console) Resize(rows, cols uint16) { c.t.resize(unix.Winsize{Row: rows, Col: cols}) }

// Drain waits until everything written was shown and the replica is closed, or
// for at most d: something may still hold the terminal.
func (c *Console) Drain(d time.Duration) {
	select {
	case <-c.done:
	case <-time.After(d):
	}
}

// Done is closed when the console has ended.
func (c *Console) Done() <-chan struct{} { return c.done }

// typed carries input until the host hangs up.
func (c *Console) typed() {
	buf := make([]byte, 4096)
	for {
		n, err := c.host.Read(buf)
		for b := buf[:n]; len(b) > 0; {
			k := c.t.input(b)
			if b = b[k:]; len(b) > 0 {
				// Nobody reads: wait for room, but not for ever if it has ended.
				select {
				case <-c.done:
					return
				case <-time.After(20 * time.Millisecond):
				}
			}
		}
		if err != nil {
			break
		}
	}
	c.t.closeMaster()
	c.Notify(nil, 0)
}

// show carries output until the last replica is closed.
func (c *Console) show() {
	defer close(c.done)
	w := wait.Waiter{To: c}
	c.t.masterQueue.Add(&w, wait.All)
	defer w.Remove()
	buf := make([]byte, 16<<10)
	for {
		n := c.t.takeOutput(buf)
		if n > 0 {
			if _, err := c.host.Write(buf[:n]); err != nil {
				break
			}
			continue
		}
		if c.t.replicasGone() || c.t.hungUp() {
			break
		}
		<-c.wake
	}
	c.host.Close()
	c.t.closeMaster()
}

// Control makes the terminal the controlling one of tg's session, which tg leads.
func (c *Console) Control(tg *kernel.ThreadGroup) {
	s := tg.Session()
	if s == nil || !c.t.k.SetTTY(s, c.t) {
		return
	}
	c.t.mu.Lock()
	c.t.session = s
	c.t.mu.Unlock()
}
