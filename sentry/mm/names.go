package mm

import (
	"ringfort/platform"
	"ringfort/sentry/memmap"
	"ringfort/sentry/names"
)

// ShowNames has the platform show t, which is in the pages r of the memory file. It reports
// whether it does: not every platform can, and none does so more than most times. Calls
// of it and HideNames are serialised by the kernel.
func (m *MemoryManager) ShowNames(t *names.Table, r memmap.Range, most int) bool {
	as, ok := m.as.(platform.NameTable)
	if !ok || m.shown == most {
		return false
	}
	m.shown++
	as.ShowNames(m.file.Host(), r.Start, r.Len())
	m.names.Store(t)
	return true
}

// HideNames takes the table away. When it returns nil nobody in the address space can read it.
func (m *MemoryManager) HideNames() error {
	m.names.Store(nil)
	m.as.(platform.NameTable).HideNames()
	return m.as.Flush()
}

// Names returns the table that is shown, nil if none is.
func (m *MemoryManager) Names() *names.Table { return m.names.Load() }
