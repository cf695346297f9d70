// Package wire is the byte format spoken between the Sentry and the gofer: 9P2000.L (little endian, size[4] type[1]
// tag[2] body) and the extension messages both sides of Ringfort use to need few round trips.
//
// It owns encoding, decoding and the numbers of messages. It must never open, read or trust anything: it is the one
// package both the gofer and the Sentry import, so it may import neither. It holds no locks.
//
// The message types of github.com/hugelgupf/p9 are not exported by that library, hence this codec; gofer's tests
// drive the server with that library's client so that the dialect stays the public one.
package wire
