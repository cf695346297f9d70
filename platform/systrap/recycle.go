package systrap

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"ringfort/platform"
	"ringfort/platform/unotify"
)

// A stub whose address space is gone serves another one: to make a process costs
// many times what it takes to empty one. What the application can have left behind
// is memory, and the registers and signal state of its threads. The mapper takes all
// memory away; each thread is then woken with a signal, whose handler finds its area
// anew, and the frame that the host makes for it tells what else there is to know.

const (
	// maxUsed is how many stubs may wait to be emptied, and how many ready ones are kept.
	maxUsed = 6
	// maxThreads is how many threads a stub may have to be used again.
	maxThreads = 4
	// settleTime is how long a thread that is to sleep may take, in milliseconds.
	settleTime = 2
)

// asleep reports whether all threads of p sleep where they may be left alone: not
// one of them can run application code before the Sentry lets it.
func (p *process) asleep() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead.Load() || len(p.idle) != len(p.threads) {
		return false
	}
	for _, t := range p.threads {
		set(t.u32(offSpin), 0)
		if !t.sleeps() {
			return false
		}
	}
	return true
}

// sleeps reports whether t, which has handed over, sleeps in stubSleep.
func (t *thread) sleeps() bool {
	if t.asleep == 0 {
		fds := []unix.PollFd{{Fd: int32(t.listener), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, settleTime); err != nil || n != 1 || fds[0].Revents&unix.POLLIN == 0 {
			return false
		}
		if t.receive() != nil {
			return false
		}
	}
	return t.note.Nr == notifyCall && t.note.IP == uint64(stub.asleep)
}

// empty takes from p, of which asleep is true, all that the application has left. If
// it returns false the process is of no use.
func (p *process) empty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	// With the table of jump targets and the trampolines, which others will have.
	list := []entry{{unix.SYS_MUNMAP, tableAddr, stubBase - tableAddr}}
	if p.shown {
		list = append(list, entry{unix.SYS_MUNMAP, namesAddr, namesMax + platform.WindowSize})
		p.shown = false
	}
	if p.k.titles {
		clear(unsafe.Slice((*byte)(unsafe.Add(p.ctl(), ctlSize+scratchText)), scratchPage-scratchText))
		for at := uintptr(0); at < titlePage; at += scratchPage - scratchText {
			list = append(list, entry{unix.SYS_PREAD64, p.k.ctls.Fd(), titleAddr + at, scratchPage - scratchText, uintptr(p.slot)*ctlStride + ctlSize + scratchText})
		}
	}
	if p.carryOut(list) != nil {
		return false
	}
	if p.lineage != nil {
		p.lineage.release()
		p.lineage = nil
	}
	for _, t := range p.threads {
		if !t.cleanse() {
			return false
		}
	}
	return true
}

// cleanse makes t one that has never run application code. All threads of its
// process sleep, so that nobody can write to its area.
func (t *thread) cleanse() bool {
	t.reset()
	if unix.Tgkill(t.p.pid, t.tid, interruptSignal) != nil {
		return false
	}
	t.reply = unotify.Reply{ID: t.asleep}
	t.asleep = 0
	if unotify.Answer(t.listener, &t.reply) != 0 {
		return false
	}
	if !t.sleeps() {
		return false
	}
	// The signal came before anything else: had it been blocked, or had the handler run
	// on another stack, there would be no such frame.
	f := (*frame)(t.at(*t.u64(offSeen), unsafe.Sizeof(frame{})))
	const stackFlags = 1<<32 - 1
	return f != nil && f.rip == uint64(stub.asleep) && f.oldmask == 0 &&
		f.stack[0] == uint64(t.addr+sigStack) && f.stack[1]&stackFlags == 0 && f.stack[2] == sigStackSize
}
