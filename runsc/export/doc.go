// Package export is the gofer process: it gathers the files that a container may see in a mount namespace of its own,
// gives up every other right, and serves each export with package gofer until the Sentry has hung up on all.
//
// It must never keep a descriptor or a mount outside of the exports, and must never serve before it is locked in.
package export
