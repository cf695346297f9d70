// Package mm owns address spaces: what an application asked for (VMAs), which
// pages are there (PMAs), and how the two reach the host.
//
// A VMA is a range of addresses with one protection and one origin. A PMA is a
// range whose pages exist, in the memory file or in a host file, and every
// PMA is mapped on the host with the protection its VMA and copy-on-write
// allow: what the host can do alone never reaches the Sentry. A private
// anonymous VMA gets its pages in large contiguous pieces; copy-on-write works
// by the reference counts of the memory file.
//
// Pages that a change takes out of the host's mapping are let go only after
// the platform has carried the change out (Manager.Flush), so that no
// other thread can still reach pages that are given to somebody else.
//
// Lock order: MemoryManager.mu, then the locks of a memmap.Mappable, then those
// of a memmap.File. Two MemoryManagers are locked parent first (fork).
package mm
