// Package pgalloc owns the memory file: the one file, in memory, that holds all
// application memory of a sandbox.
//
// The file is mapped once, whole, into the Sentry, so application memory is
// reached at base+offset without a lock. Pages are handed out in runs and
// counted: the count of a page is the number of mappings and objects that
// hold it. A page whose count falls to zero is cleared or punched before it
// is handed out again.
//
// Lock order: File.mu is a leaf.
package pgalloc
