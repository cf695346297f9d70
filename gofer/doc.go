// Package gofer serves the files of one mount to a Sentry it does not trust.
//
// It owns the only descriptors that can reach host files: Serve answers 9P2000.L (and the extension of package wire)
// over one stream socket, and donates open descriptors of regular files over a second socket beside it, so that the
// Sentry reads, writes and maps data without asking again.
//
// What it must never do: resolve more than one name at a time, in a path either; follow a symbolic link; take "..", an
// empty name or a name with a slash; open a device or a FIFO; connect to a socket unless it was told to; donate a descriptor of anything
// but a regular file or such a connection; leave the export, whatever is asked; allocate without a bound. Permission
// checks towards the application are the Sentry's: the gofer acts with its own (file serving) capabilities and gives new
// files the owner it is told. FIFOs, sockets and devices are the Sentry's own too, here they are names with attributes.
// Locks are taken by the Sentry, on what was donated.
//
// Who can be told when to go on sleeps where the Sentry wakes it on its own core (rest.go).
//
// One goroutine reads and answers requests in order; only syncing to disk runs beside it. So the fid table needs no
// lock; sendMu is the only one and keeps a donated descriptor and its reply together.
package gofer
