package mm

import (
	"ringfort/platform"
	"ringfort/sentry/memmap"
	"ringfort/sentry/usermem"
)

// Window returns the pages that the platform hands out to the program without the kernel, for the caller to fill; nil if it
// cannot. Only the one task that uses m calls it.
func (m *MemoryManager) Window() []byte {
	if m.window.End == 0 && !m.openWindow() {
		return nil
	}
	return m.file.Bytes(m.window)
}

// openWindow has the pages found, by the program's host process where the host limits memory, and shown.
func (m *MemoryManager) openWindow() bool {
	as, ok := m.as.(platform.Window)
	if !ok {
		return false
	}
	r, err := m.file.Allocate(platform.WindowSize, usermem.PageSize)
	if err != nil {
		return false
	}
	if m.Bring(r) != nil {
		m.file.DecRef(r)
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.window = r
	as.ShowWindow(m.file.Host(), r.Start)
	m.stale.Store(true)
	return true
}

// dropWindow lets go of it. Nobody uses m any more.
func (m *MemoryManager) dropWindow() {
	if m.window.End != 0 {
		m.dead = append(m.dead, held{m.file, m.window})
		m.window = memmap.Range{}
	}
}
