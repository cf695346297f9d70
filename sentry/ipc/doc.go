// Package ipc owns System V IPC (sysvipc(7)): shared memory segments, semaphore
// sets and message queues, one Namespace of them for each IPC namespace.
//
// It knows tasks only as Callers. What it keeps for applications beyond the
// pages of segments, which are in the memory file, is counted in a Budget that
// all namespaces of a sandbox share.
//
// # Lock order
//
//	mm.MemoryManager.mu   mappings of segments come and go under it
//	  table.mu            who has which identifier and key
//	    Segment.mu, Set.mu, Queue.mu
//	      UndoList.mu
//
// An object's lock is taken without the table's wherever nothing enters or
// leaves the table; an object that has left says so (header.removed). Nothing
// here is held while a task waits.
package ipc
