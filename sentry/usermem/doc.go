// Package usermem is how the kernel touches application memory: addresses,
// ranges, copying in and out, and scatter lists of both.
//
// Every access is checked and may fail with EFAULT; contents are hostile and
// may change between two reads, so callers copy once and then check. The
// package never dereferences an application address itself: an IO (the
// address space, mm.MemoryManager) does.
package usermem
