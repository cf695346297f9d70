// Package isolate takes rights away from the calling process: its view of the host's files, its capabilities, and the
// way back to any of them. The Sentry and the gofer call it early in their lives, on one goroutine.
//
// It must never fail half-way in silence: a caller that gets an error has to end.
package isolate
