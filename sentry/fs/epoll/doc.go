// Package epoll implements epoll sets (epoll(7)).
//
// It owns the set's items, each a registration on the wait queue of a watched
// description, and the list of those that may be ready. A change puts the item
// on that list and wakes who waits; Wait asks each listed description again,
// so that a change undone meanwhile is not reported.
//
// It must never wait, nor keep a watched description alive: a description
// tells its watchers when it goes (vfs.ReleaseWatcher).
//
// Lock order: treeMu, Epoll.mu, then the locks of watched files (they are
// polled with it held) including Epoll.mu of a nested set below, then
// wait.Queue.mu, then Epoll.readyMu. The queue of a nested set comes before
// that of the set that watches it; sets never form a circle.
package epoll
