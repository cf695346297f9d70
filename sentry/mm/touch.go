package mm

// touch learns whether a program touches the small private mappings it makes. Those
// of one that does get their pages at once, which saves it the faults; those of one
// that does not need none, and no host mapping to be made and taken back.
type touch struct {
	made   uint32 // small mappings
	unused int    // how many of those without pages were unmapped as they were, less those touched
}

const (
	// touchProbe: one mapping in so many goes without pages, to see.
	touchProbe = 32
	// touchDoubt is from how many unused ones on all go without.
	touchDoubt = 2
	touchMax   = 8
)

// doubtful reports whether the next small mapping is to go without pages.
func (t *touch) doubtful() bool {
	t.made++
	return t.unused >= touchDoubt || t.made%touchProbe == 0
}

// faulted notes that a mapping without pages was touched.
func (t *touch) faulted() { t.unused = max(t.unused-1, 0) }

// unmapped notes that one was unmapped without pages.
func (t *touch) unmapped() { t.unused = min(t.unused+1, touchMax) }
