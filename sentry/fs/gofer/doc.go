// Package goferfs is the file system whose files the gofer serves: the container's root and its bind mounts.
//
// It owns the connection to the gofer (client.go, calls.go) and the dentries, attributes and descriptors cached over
// it. It must never trust a reply further than its fields' ranges, nor call the gofer for what a donated descriptor or
// a cached attribute answers: a round trip to a sleeping process costs fifty times a system call.
//
// Lock order inside Client: sendMu, callsMu. Neither is held while waiting for a reply.
package goferfs
