// Package wait owns wait queues: the one mechanism by which anything in the
// Sentry waits for anything else.
//
// A Queue belongs to an object that changes (a pipe, a socket, a thread
// group). A Waiter is enqueued on it with a mask; a change calls
// Queue.Notify, which tells every Waiter whose mask matches. A Waiter's
// Notifiee is a task (which wakes) or another object that itself has a queue
// (an epoll set, a relay).
//
// The package never blocks and knows nothing about tasks.
//
// Lock order: whatever lock protects the object's state comes before
// Queue.mu; Notifiee.Notify is called with Queue.mu held and must take only
// leaf locks (an epoll set's ready lock, a channel send).
package wait
