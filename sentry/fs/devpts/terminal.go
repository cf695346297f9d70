package devpts

import (
	"sync"

	"golang.org/x/sys/unix"

	"ringfort/sentry/kernel"
	"ringfort/sentry/wait"
)

// Sizes of the buffers (N_TTY_BUF_SIZE and the like).
const (
	maxLine   = 4095
	maxInput  = 64 << 10
	maxOutput = 64 << 10
)

// terminal is a pseudo-terminal with its line discipline.
type terminal struct {
	k     *kernel.Kernel
	inst  *instance
	index uint32

	masterQueue  wait.Queue
	replicaQueue wait.Queue

	mu       sync.Mutex
	mode     termios
	speed    speeds
	win      unix.Winsize
	lines    [][]byte // complete input; of canonical mode one a line, an empty one is an end of file
	edit     []byte   // the line being typed
	literal  bool     // the next character is not special (VLNEXT)
	out      []byte   // for the master to read
	column   int
	stopped  bool // output stopped by VSTOP; see setStopped
	packet   packet
	locked   bool // TIOCSPTLCK
	master   bool // the master is open
	replicas int
	everOpen bool
	session  *kernel.Session // whose controlling terminal this is
}

// send is a signal to send once terminal.mu is dropped.
type send struct {
	group *kernel.ProcessGroup
	sig   unix.Signal
}

func (t *terminal) deliver(list []send) {
	for _, s := range list {
		if s.group != nil {
			t.k.SignalGroup(s.group, kernel.KernelSignal(s.sig))
		}
	}
}

// foreground returns the foreground group of the session. t.mu may be held.
func (t *terminal) foreground() *kernel.ProcessGroup {
	if t.session == nil {
		return nil
	}
	return t.k.Foreground(t.session)
}

// input takes bytes typed at the master and returns how many it took.
func (t *terminal) input(b []byte) int {
	var signals []send
	t.mu.Lock()
	n := 0
	for ; n < len(b); n++ {
		if t.pendingInput() >= maxInput {
			break
		}
		signals = t.typed(b[n], signals)
	}
	t.mu.Unlock()
	t.deliver(signals)
	t.replicaQueue.Notify(wait.Readable)
	t.masterQueue.Notify(wait.Pri | wait.Readable)
	return n
}

func (t *terminal) pendingInput() (n int) {
	for _, l := range t.lines {
		n += len(l)
	}
	return n + len(t.edit)
}

// typed processes one character (termios(3)).
func (t *terminal) typed(c byte, signals []send) []send {
	m := &t.mode
	if m.in(unix.ISTRIP) {
		c &= 0x7f
	}
	if t.literal {
		t.literal = false
		t.accept(c)
		return signals
	}
	if m.in(unix.IXON) {
		switch {
		case m.is(c, unix.VSTOP):
			t.setStopped(true)
			return signals
		case m.is(c, unix.VSTART):
			t.setStopped(false)
			return signals
		case t.stopped && m.in(unix.IXANY):
			t.setStopped(false)
		}
	}
	if m.local(unix.ISIG) {
		for i, sig := range map[int]unix.Signal{unix.VINTR: unix.SIGINT, unix.VQUIT: unix.SIGQUIT, unix.VSUSP: unix.SIGTSTP} {
			if m.is(c, i) {
				if !m.local(unix.NOFLSH) {
					t.lines, t.edit, t.out = nil, nil, t.out[:0]
					t.packet.tell(unix.TIOCPKT_FLUSHREAD|unix.TIOCPKT_FLUSHWRITE, 0)
				}
				t.setStopped(false)
				t.echo(c)
				return append(signals, send{t.foreground(), sig})
			}
		}
	}
	switch c {
	case '\r':
		if m.in(unix.IGNCR) {
			return signals
		}
		if m.in(unix.ICRNL) {
			c = '\n'
		}
	case '\n':
		if m.in(unix.INLCR) {
			c = '\r'
		}
	}
	if m.local(unix.ICANON) {
		t.edited(c)
	} else {
		t.accept(c)
	}
	return signals
}

// edited processes a character of canonical mode.
func (t *terminal) edited(c byte) {
	m := &t.mode
	switch {
	case m.is(c, unix.VERASE):
		t.erase(1)
	case m.is(c, unix.VKILL):
		t.erase(len(t.edit))
		if m.local(unix.ECHOK) && !m.local(unix.ECHOKE) && m.local(unix.ECHO) {
			t.put('\n')
		}
	case m.is(c, unix.VWERASE) && m.local(unix.IEXTEN):
		n := len(t.edit)
		for n > 0 && t.edit[n-1] == ' ' {
			n--
		}
		for n > 0 && t.edit[n-1] != ' ' {
			n--
		}
		t.erase(len(t.edit) - n)
	case m.is(c, unix.VLNEXT) && m.local(unix.IEXTEN):
		t.literal = true
		if m.local(unix.ECHO) && m.local(unix.ECHOCTL) {
			t.out = append(t.out, '^', '\b')
		}
	case m.is(c, unix.VREPRINT) && m.local(unix.IEXTEN):
		if m.local(unix.ECHO) {
			t.echo(c)
			t.put('\n')
			for _, b := range t.edit {
				t.echo(b)
			}
		}
	case m.is(c, unix.VEOF):
		t.lines = append(t.lines, t.edit)
		t.edit = nil
	case c == '\n' || m.is(c, unix.VEOL) || m.is(c, unix.VEOL2):
		if m.local(unix.ECHO) || c == '\n' && m.local(unix.ECHONL) {
			t.put(c)
		}
		t.lines = append(t.lines, append(t.edit, c))
		t.edit = nil
	default:
		t.accept(c)
	}
}

// accept stores an ordinary character.
func (t *terminal) accept(c byte) {
	if t.mode.local(unix.ICANON) {
		if len(t.edit) >= maxLine {
			return
		}
		t.edit = append(t.edit, c)
		t.echo(c)
		return
	}
	t.echo(c)
	if n := len(t.lines); n > 0 {
		t.lines[n-1] = append(t.lines[n-1], c)
		return
	}
	t.lines = append(t.lines, []byte{c})
}

// erase takes the last n characters of the line back, on the screen too.
func (t *terminal) erase(n int) {
	for range min(n, len(t.edit)) {
		c := t.edit[len(t.edit)-1]
		t.edit = t.edit[:len(t.edit)-1]
		// The bytes of one UTF-8 character go together.
		for t.mode.in(unix.IUTF8) && c&0xc0 == 0x80 && len(t.edit) > 0 {
			c = t.edit[len(t.edit)-1]
			t.edit = t.edit[:len(t.edit)-1]
		}
		if !t.mode.local(unix.ECHO) {
			continue
		}
		if !t.mode.local(unix.ECHOE) {
			t.echo(t.mode.CC[unix.VERASE])
			continue
		}
		width := 1
		if isControl(c) && t.mode.local(unix.ECHOCTL) {
			width = 2
		}
		for range width {
			t.out = append(t.out, '\b', ' ', '\b')
		}
	}
}

func isControl(c byte) bool { return c < ' ' && c != '\t' && c != '\n' || c == 127 }

// echo shows a typed character.
func (t *terminal) echo(c byte) {
	if !t.mode.local(unix.ECHO) {
		return
	}
	if t.mode.local(unix.ECHOCTL) && isControl(c) {
		t.out = append(t.out, '^', c^0x40)
		return
	}
	t.put(c)
}

// put sends a character to the screen with output processing (termios(3), c_oflag).
func (t *terminal) put(c byte) {
	m := &t.mode
	if !m.out(unix.OPOST) {
		t.out = append(t.out, c)
		return
	}
	switch c {
	case '\n':
		if m.out(unix.ONLCR) {
			t.out = append(t.out, '\r')
			t.column = 0
		}
		if m.out(unix.ONLRET) {
			t.column = 0
		}
	case '\r':
		if m.out(unix.ONOCR) && t.column == 0 {
			return
		}
		if m.out(unix.OCRNL) {
			c = '\n'
			break
		}
		t.column = 0
	case '\t':
		n := 8 - t.column%8
		t.column += n
		if m.out(unix.XTABS) {
			for range n {
				t.out = append(t.out, ' ')
			}
			return
		}
	case '\b':
		t.column = max(t.column-1, 0)
	default:
		if m.out(unix.OLCUC) && c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		if !isControl(c) {
			t.column++
		}
	}
	t.out = append(t.out, c)
}

// output takes bytes written to the replica and returns how many it took.
func (t *terminal) output(b []byte) int {
	t.mu.Lock()
	n := 0
	for n < len(b) && len(t.out) < maxOutput && !t.stopped {
		t.put(b[n])
		n++
	}
	t.mu.Unlock()
	if n > 0 {
		t.masterQueue.Notify(wait.Readable)
	}
	return n
}

// readLine takes input for the replica: at most one line in canonical mode. ok
// is false if there is none yet.
func (t *terminal) readLine(b []byte) (n int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) == 0 {
		// VMIN of 0 returns at once (termios(3), noncanonical mode).
		return 0, !t.mode.local(unix.ICANON) && t.mode.CC[unix.VMIN] == 0
	}
	if t.mode.local(unix.ICANON) {
		n = copy(b, t.lines[0])
		if t.lines[0] = t.lines[0][n:]; len(t.lines[0]) == 0 {
			t.lines = t.lines[1:]
		}
		return n, true
	}
	for len(t.lines) > 0 && n < len(b) {
		k := copy(b[n:], t.lines[0])
		n += k
		if t.lines[0] = t.lines[0][k:]; len(t.lines[0]) == 0 {
			t.lines = t.lines[1:]
		}
	}
	return n, true
}

// takeOutput takes output for the master.
func (t *terminal) takeOutput(b []byte) int {
	t.mu.Lock()
	n := 0
	if !t.stopped {
		n = copy(b, t.out)
		t.out = append(t.out[:0], t.out[n:]...)
	}
	t.mu.Unlock()
	if n > 0 {
		t.replicaQueue.Notify(wait.Writable)
	}
	return n
}

// setMode changes the mode; text typed so far becomes readable when canonical mode ends.
func (t *terminal) setMode(m termios2, flush bool) {
	t.mu.Lock()
	if flush {
		t.lines, t.edit = nil, nil
		t.packet.tell(unix.TIOCPKT_FLUSHREAD, 0)
	}
	if t.mode.local(unix.ICANON) && m.Lflag&unix.ICANON == 0 && len(t.edit) > 0 {
		t.lines = append(t.lines, t.edit)
		t.edit = nil
	}
	t.packet.changedMode(&t.mode, &m.termios)
	t.mode, t.speed = m.termios, m.speeds
	if m.Iflag&unix.IXON == 0 {
		t.setStopped(false)
	}
	t.mu.Unlock()
	t.replicaQueue.Notify(wait.Readable | wait.Writable)
	t.masterQueue.Notify(wait.Pri | wait.Readable)
}

// resize sets the window size and tells the foreground group.
func (t *terminal) resize(w unix.Winsize) {
	t.mu.Lock()
	changed := t.win != w
	t.win = w
	t.mu.Unlock()
	if changed {
		t.deliver([]send{{t.foreground(), unix.SIGWINCH}})
	}
}

// DeviceNumber returns the replica's device number (tty_nr of /proc/PID/stat).
func (t *terminal) DeviceNumber() uint64 { return unix.Mkdev(ptsMajor, t.index) }

// HangUp implements kernel.TTY: the session has lost its leader.
func (t *terminal) HangUp() {
	t.mu.Lock()
	t.session = nil
	t.mu.Unlock()
	t.replicaQueue.Notify(wait.All)
}
