package devpts

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/wait"
)

// packet is the packet mode of a master (TIOCPKT(2const)): each read begins
// with a byte that is 0 before output, or else says what has happened at the
// replica. Guarded by terminal.mu.
type packet struct {
	on     bool
	status byte // TIOCPKT_* not yet read
}

// tell notes an event for the master. A later opposite takes an earlier one back.
func (p *packet) tell(event, opposite byte) {
	if p.on {
		p.status = p.status&^opposite | event
	}
}

// setPacket is TIOCPKT.
func (t *terminal) setPacket(on bool) {
	t.mu.Lock()
	if on != t.packet.on {
		t.packet = packet{on: on}
	}
	t.mu.Unlock()
}

// setStopped stops or restarts output. t.mu is held.
func (t *terminal) setStopped(stopped bool) {
	if t.stopped == stopped {
		return
	}
	t.stopped = stopped
	if stopped {
		t.packet.tell(unix.TIOCPKT_STOP, unix.TIOCPKT_START)
	} else {
		t.packet.tell(unix.TIOCPKT_START, unix.TIOCPKT_STOP)
	}
}

// plainFlow reports whether ^S and ^Q stop and start output.
func (m *termios) plainFlow() bool {
	const ctrlS, ctrlQ = 'S' & 0x1f, 'Q' & 0x1f
	return m.in(unix.IXON) && m.CC[unix.VSTOP] == ctrlS && m.CC[unix.VSTART] == ctrlQ
}

// changedMode tells of a change of flow control. t.mu is held.
func (p *packet) changedMode(before, after *termios) {
	switch was, is := before.plainFlow(), after.plainFlow(); {
	case is && !was:
		p.tell(unix.TIOCPKT_DOSTOP, unix.TIOCPKT_NOSTOP)
	case was && !is:
		p.tell(unix.TIOCPKT_NOSTOP, unix.TIOCPKT_DOSTOP)
	}
}

// takePacket takes what a read in packet mode returns: a status byte alone, or
// 0 and output. It returns 0 if there is neither.
func (t *terminal) takePacket(b []byte) int {
	t.mu.Lock()
	status := t.packet.status
	t.packet.status = 0
	t.mu.Unlock()
	b[0] = status
	if status != 0 {
		return 1
	}
	n := t.takeOutput(b[1:])
	if n == 0 {
		return 0
	}
	return n + 1
}

// packetEvents are what poll(2) says of a status. t.mu is held.
func (p *packet) events() wait.Events {
	if p.status != 0 {
		return wait.Pri | wait.Readable
	}
	return 0
}
