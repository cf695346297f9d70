package kernel

import (
	"ringfort/sentry/mm"
	"ringfort/sentry/usermem"
)

// infoBytes copies a part of the program's memory that mm.Info names.
func (t *Task) infoBytes(limit int, part func(i *mm.Info) (start, end uint64)) []byte {
	m := t.MM()
	if m == nil || !m.TryIncUsers() {
		return nil
	}
	defer m.DecUsers()
	info := m.GetInfo()
	start, end := part(&info)
	if end <= start {
		return nil
	}
	b := make([]byte, min(end-start, uint64(limit)))
	n, _ := m.CopyIn(usermem.Addr(start), b) // what cannot be read is left out
	return b[:n]
}

// SetClearTID is set_tid_address(2).
func (t *Task) SetClearTID(a usermem.Addr) { t.clearTID = a }

// PDeathSig and SetPDeathSig are PR_GET_PDEATHSIG and PR_SET_PDEATHSIG.
func (t *Task) PDeathSig() int32 { return t.pdeathSig }

// SetPDeathSig sets the signal t gets when its parent exits; 0 for none.
func (t *Task) SetPDeathSig(sig int32) { t.pdeathSig = sig }

// ParentVforking reports whether the parent still waits in vfork(2).
func (t *Task) ParentVforking() bool { return t.vfork != nil }

// HasExecd reports whether the process has called execve(2) (setpgid(2)).
func (tg *ThreadGroup) HasExecd() bool {
	tg.k.tree.RLock()
	defer tg.k.tree.RUnlock()
	return tg.hasExecd
}

// IsChildOf reports whether tg is a child of p.
func (tg *ThreadGroup) IsChildOf(p *ThreadGroup) bool { return tg.Parent() == p }

// UnshareFiles gives the task a descriptor table of its own (unshare(2)).
func (t *Task) UnshareFiles() {
	if f := t.fds.Load(); f.Shared() {
		t.fds.Store(f.Copy())
		f.DecRef(t)
	}
}

// UnshareFS gives the task a root, working directory and umask of its own.
func (t *Task) UnshareFS() {
	old := t.fs.Load()
	t.fs.Store(old.Copy())
	old.DecRef()
}

// addrNoRandomize is ADDR_NO_RANDOMIZE of personality(2).
const addrNoRandomize = 0x0040000

// NoRandomize reports personality ADDR_NO_RANDOMIZE.
func (t *Task) NoRandomize() bool { return t.persona.Load()&addrNoRandomize != 0 }

// Personality returns the execution domain; SetPersonality sets it (personality(2)).
func (t *Task) Personality() uint32 { return t.persona.Load() }

// SetPersonality sets the execution domain.
func (t *Task) SetPersonality(p uint32) { t.persona.Store(p) }

// ClearTID returns the address set_tid_address(2) set.
func (t *Task) ClearTID() usermem.Addr { return t.clearTID }

// MemoryTotal returns the memory applications may use, in bytes.
func (k *Kernel) MemoryTotal() uint64 { return k.memTotal }
