// Package hostinet owns the AF_INET and AF_INET6 sockets of a namespace that is the host's: each is a socket of the host
// kernel, made by the Sentry itself. There are none but in a sandbox that was given the host's network, and only there
// does the Sentry's filter allow the calls.
//
// It must never hand the host a pointer, a length, a flag or an option that it has not looked at: what may be asked is
// listed in options.go and io.go, everything else fails here.
//
// It has no locks.
package hostinet
