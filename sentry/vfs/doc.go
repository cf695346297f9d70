// Package vfs is the Sentry's virtual file system: dentries, mounts and mount namespaces, path walk, permission
// checks, open file descriptions, descriptor tables, file locks and inotify. File systems (sentry/fs/…) implement
// Inode and File; everything that is the same for all of them is here.
//
// A Dentry is a cached name in a directory; its Inode never changes (a negative dentry's is nil for ever). Walking
// a cached path takes no lock and no reference but on the last dentry: Go keeps the memory of a dentry that was
// evicted under the walk, and taking the last reference fails then, which makes the walk start again.
//
// What it must never do: reach the host (file systems do), know a file system by name, or hold a lock while waiting
// for anything but the file system.
//
// Lock order:
//
//	Superblock.renameMu (renames between directories)
//	  Dentry.dirMu (entries of a directory; of two the ancestor first)
//	    locks of the file system's inodes
//	mountMu (the tree of all mounts) after Dentry.dirMu
//	lock state of an InodeBase: before the locks of its own inode (HostLocker)
//	Superblock.cacheMu, InodeBase watch state, FDTable.mu: leaves
//	Description.offMu comes before the locks of its File.
package vfs
