// Package tmpfs is the file system whose files are in the sandbox's memory file: /dev/shm, /tmp, memfd_create and
// whatever else asks for a tmpfs.
//
// Lock order: inode.mu, then fsutil.Mappings and pgalloc.Object. No lock is held while application memory is
// touched but inode.mu by a write, and nothing that a page fault of that memory calls (Pages) takes that.
package tmpfs
