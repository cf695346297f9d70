// Package pipe implements pipes and FIFOs (pipe(7), fifo(7)).
//
// It owns the ring of bytes between writers and readers, packet mode
// (O_DIRECT), the counts that decide end-of-file and SIGPIPE, and the building
// blocks of splice(2) and tee(2).
//
// It must never wait: operations return EAGAIN and the system call layer
// waits on the queue. OpenFIFO alone waits, as open(2) of a FIFO does.
//
// Lock order: Pipe.mu of a pipe, of two pipes the one with the lower id first;
// then the locks of an address space (copies are made with mu held) and of
// files spliced from and to; then wait.Queue.mu.
package pipe
