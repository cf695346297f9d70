package mm

import (
	"ringfort/platform"
	"ringfort/sentry/memmap"
	"ringfort/sentry/usermem"
)

// Window returns the pages that the platform hands out to the program without the kernel, for the caller to fill; nil if it
// cannot. Only the one task that uses m calls it.
func (m *MemoryManager) Window() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.window.End == 0 {
		as, ok := m.as.(platform.Window)
		if !ok {
			return nil
		}
		r, err := m.file.Allocate(platform.WindowSize, usermem.PageSize)
		if err != nil {
			return nil
		}
		m.window = r
		as.ShowWindow(m.file.Host(), r.Start)
		m.stale.Store(true)
	}
	return m.file.Bytes(m.window)
}

// dropWindow lets go of it. Nobody uses m any more.
func (m *MemoryManager) dropWindow() {
	if m.window.End != 0 {
		m.dead = append(m.dead, held{m.file, m.window})
		m.window = memmap.Range{}
	}
}
