// Package overlay lays a tmpfs over another file system: what is read comes from below until it is changed, and all
// changes stay in memory. It serves --overlay=memory and runsc do.
//
// The layers are arranged as overlayfs has them: a name removed from below is a character device 0/0 above (a
// whiteout), a directory that hides the one below has the attribute trusted.overlay.opaque, and a directory that
// exists below cannot be renamed (EXDEV: mv copies). It must never change the lower layer.
//
// Lock order: vfs's dirMu, inode.mu (of a child before its parent: copying up goes upwards), fileSystem.mu, the
// layers' own locks.
package overlay
