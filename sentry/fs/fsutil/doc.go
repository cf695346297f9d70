// Package fsutil is what several file systems share: the list of an object's mappings, and files and directories
// whose contents the kernel makes up (proc, sys, …).
//
// It must never know a particular file system. Locks: Mappings.mu is a leaf, and is not held while address spaces
// are told to drop pages.
package fsutil
