// Package kernel owns tasks and what they share: thread groups, process groups
// and sessions, PID and other namespaces, signals, futexes, timers, System V
// IPC, and the loop that runs application code and serves its system calls.
//
// It never touches the host but through the platform interface, and never lets
// a task wait but in Task.Block.
//
// # Tasks and goroutines
//
// Every task is one goroutine that runs Task.run. Whatever is marked "owner"
// is touched by that goroutine only. Others make a task take notice by setting
// a bit in Task.attention and poking it.
//
// # Lock order
//
//	Kernel.tree         who is whose parent, child, thread, group and session; exits
//	  PIDNamespace.mu
//	  ThreadGroup.sig   signals of a thread group: pending, masks, actions, stops
//	    waiter and timer leaf locks
//	futex bucket        before mm locks; never with tree
//	mm.MemoryManager    see package mm; the locks of package ipc come after it
//
// A wait.Queue's lock may be taken under any of them; Task.Notify takes none.
package kernel
