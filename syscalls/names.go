package syscalls

import "sync"

// names maps numbers to names, of the table and of the calls it lacks.
var names = sync.OnceValue(func() map[uintptr]string {
	m := map[uintptr]string{}
	for _, c := range Table() {
		m[c.Nr] = c.Name
	}
	return m
})
