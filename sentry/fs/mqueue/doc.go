// Package mqueue owns POSIX message queues (mq_overview(7)): the file system
// they are files of, one for each IPC namespace, and the queues themselves.
//
// The queues of a namespace are reached through its file system only: mq_open(2)
// opens a name in a mount the kernel keeps for itself. It sends no signals; who
// asks to be notified says how.
//
// Lock order: directory.mu, then Queue.mu, then Accounts.mu. None is held while
// a task waits, nor while a notification is given.
package mqueue
