// Package host owns descriptors the sandbox was started with: standard input,
// output and error, and those of --preserve-fds.
//
// They are pipes, sockets, terminals or regular files of the host, whose file
// description is shared with strangers: the package never changes its flags,
// and so asks poll(2) before each read and write that might wait. It opens
// nothing.
//
// Lock order: poller.mu is a leaf.
package host
