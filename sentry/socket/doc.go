// Package socket is the contract between the socket system calls and the
// address families, and what the families share: messages, control messages,
// the options of SOL_SOCKET that mean the same everywhere.
//
// A family's package implements Socket; it never waits (EAGAIN) and never
// trusts a length that came from the application: addresses and option values
// arrive as byte slices already copied in and bounded.
//
// Lock order: a socket's locks come after Description locks and before
// wait.Queue.mu; each family states its own. Descriptions are released (their
// references dropped) with no socket lock held.
package socket
