// Package control is the protocol between runsc on the host and the Sentry.
//
// It owns the Go interface that the Sentry implements (Sandbox), the arguments of its calls, and their wire form:
// one unix stream socket, frames of a length, a count of descriptors and JSON, the descriptors beside them by
// SCM_RIGHTS. It also owns the server that the Sentry runs and the client that runsc uses.
//
// It must never trust a length, a count or a name from the other side: the client is privileged and the server is
// next to hostile code. It must never open a host file.
//
// Lock order: Server.mu alone; no call into a Sandbox is made with it held.
package control
