// Package systrap is the default platform: application threads are host threads
// of stub processes that hand their registers to the Sentry through shared memory.
//
// # Processes and threads
//
// Each address space is one host process, forked from a template whose memory is
// empty but for the stub's pages at the top of the user half (layout.go). Its
// first thread, the mapper, never runs application code: it carries out mmap,
// munmap and mprotect for the Sentry, from a control block that is read-only in the
// stub, and answers through an eventfd (process.go). All other threads run the
// application. They find the page they share with the Sentry, their area, by GS.
// A stub whose address space has gone is emptied and serves another (recycle.go).
//
// # What the application can do with all that
//
// It can read and jump to the stub's code, and write to the areas of its own
// process. Therefore:
//   - Its threads have a seccomp filter (filter.go) that traps every call made
//     outside the stub's code, and inside allows a notification, rt_sigreturn and
//     sched_yield, and kills for all others. The mapper's calls are not among them.
//   - The mapper keeps its state in registers and reads only what cannot be written
//     in the stub. That a page is gone is known from the eventfd, which no other
//     thread can write to.
//   - What the Sentry reads in an area it reads once, and checks: a process can
//     deceive the Sentry about its own registers only.
//
// # Handing over
//
// The state word of an area says who has the context and whether the other side
// sleeps (layout.go). A side that waits spins or sleeps (wait.go): it spins only
// after a run of short turns, while there are more cores than contexts that want
// to run, and not for a while after it has lost its core to something else; stub
// and Sentry thread are then kept on different cores. Otherwise both sleep, and
// wake each other by seccomp notifications on one core. An idle sandbox has no
// side that spins, and no timer. In between, when a few turns were short and there
// are not more contexts than cores, both look for each other on one core and let each
// other have it (near).
//
// Contexts that talk to each other, and so wait only briefly, are served all on one
// core while their stubs share another, where one that looks for the Sentry gives way as soon
// as another has its context back (offOthers): to let others have the core every two
// microseconds instead made a round trip through a pipe 10 % longer, and one of TCP 7 %.
// Whoever waits there, for the other side or for another task (Linger), waits in the hub
// (hub.go): one goroutine looks for all, and the one whose turn it is runs next on the same host thread. A switch of threads costs
// ten times a switch of goroutines, and waking a core that sleeps ten times that: with a
// thread for each that looked, which let each other have the core, a request to nginx
// took half as long again.
//
// Who spins waits for one line of memory, which holds the state word and what a system
// call needs; the other registers stay in the stub's area until the kernel asks for them
// (registers.go). Nothing is written to that line before the context is given away, and
// there is a PAUSE between two looks: the two cores may be two threads of one.
//
// Tried in the Sentry, on 2 cores of a virtual machine, round trip of an lseek
// (native 0.1–0.2 µs):
//
//	both sides spin on cores of their own             0.19–0.25 µs, 0.5 in bad moments of the host
//	the same with all registers each time             0.26–0.3 µs
//	and without a PAUSE                               0.32–0.37 µs, 1.1 in bad moments
//	seccomp notification, synchronous wake-up         4.8–7 µs, also with both cores busy
//	futex, threads where the scheduler puts them      5–29 µs with both cores busy
//	spinning without keeping the sides apart          7–12 µs: notifications draw both to one core
//	SIGSYS instead of a patched call site adds        1.6–2 µs
//	answered in the stub (getpid)                     0.015–0.02 µs
//
// # Call sites
//
// A SYSCALL that traps often is replaced by a jump to a trampoline (patch.go), in a
// private copy of its page, if it lies in a private mapping of a file that
// cannot be written, and if no thread of the address space runs meanwhile.
// Patterns are MOV $nr, AX; SYSCALL and SYSCALL; CMPQ AX, $imm and LEAQ disp32(…), reg;
// SYSCALL. A jump to the SYSCALL of the first hits an illegal instruction, which is then
// served as the call; a jump to the CMPQ of the second faults as well and is sent on; the
// SYSCALL of the third stays where it is; and a site that the code around seems to jump
// into stays as it is. That what is before a SYSCALL is the MOV or LEAQ it looks like is
// known by the registers of a thread that trapped there. A
// thread that is to go on inside a patched site, after a signal say, is sent to the
// trampoline. Before code becomes writable or moves, patches are taken back. The
// Sentry never shows addresses of trampolines.
//
// What several processes have trapped at is patched from the start in those that follow (known.go): a page of the file's
// code with its sites patched is kept in the memory file, and mapped in place of the file's own wherever that
// is the same as what the page was made from. The numbers of such sites, and so the jumps, are the same in all address
// spaces; where a trampoline leads is not. Only programs that have made a hundred calls the slow way in one
// process get such pages, for each takes a mapping of its own: /bin/true ended up later with them.
//
// Known limits: a program that copies patched code with its own instructions gets
// the jump, which works only while the original stays mapped; and a GS base set by
// WRGSBASE, which we do not offer in AT_HWCAP2, is lost at the next trap.
//
// # Tables of names
//
// A call that fails for a path, and would fail again, need not leave the stub: programs ask
// for the same names that are not there, or are no symbolic links, again and again. The
// kernel has tables of such answers (package names), one for all who see the same names with the
// same rights, in its memory file, and has the table mapped read-only at namesAddr where
// it is read. The stub looks up open, openat, stat, lstat, newfstatat, access, faccessat, readlink,
// readlinkat and mkdir of absolute paths: it copies the path to its area, word by word with
// the hash, and compares it with the two entries of a set. An entry is true if the two
// generations it names are those in the clock page; a change of any name moves one of them on
// before it can be seen. Where there is no answer, or the path cannot be read, the
// call is made as ever.
//
// A table is taken away, with a munmap that is waited for, when credentials, root
// directory or mount namespace change; who is watched by a tracer or a filter has none. The area
// says whether the stub reads a table: an application that writes another address there
// deceives itself, with memory that it can read anyway.
//
// Measured on the machine above:
//
//	a failing stat, readlink or open, again    12–15 ns, 0.3–1 µs by the kernel (native 0.62–1.17 µs)
//	make -j2 of 50 C files                     2.19 s without, about 1.75 s with the tables and the present pacer (wait.go)
//
// # Echoes
//
// Programs ask about descriptors what they know already: where an offset is that they have just set, how long a table
// is, whether there is more of a stream that was empty, what file they have just opened. The kernel leaves the
// answer to such a call in the thread's area (answer.go), with two generations of the clock page (package steady) that say for
// how long it is true: of what the descriptor means and of what is behind it. The stub gives it again as long as both are
// what they were (stubEcho, stubStat). read, write, recvfrom and lseek have sixteen echoes a thread, at the lower bits of the
// descriptor; fstat has one, of the file opened, or read to the end, last, until any call is made, with which goes that the file is no
// terminal and where its offset is. That of a write says that the descriptor means the null device, which nobody watches: then
// its length is the answer. Such writes are missing in /proc/PID/io.
//
// Noted is what a program did before: the same seek twice, a read that found nothing, an fstat behind each open, or behind the
// last read. A call in between is not missed, for it disturbs what it changes before it returns. The application can write to
// its own echoes, and deceive itself.
//
// Measured on the machine above:
//
//	lseek to where the offset is, or to an end that is known     9 ns, 240 by the kernel (native 160)
//	recv of a stream that is empty, again                        10 ns, 270 by the kernel (native 310)
//	write to the null device, again                              9 ns, 270–590 by the kernel (native 200)
//	fstat of the file opened last, with two looks at the clock   90 ns, 800–2900 by the kernel (native 660)
//	open(…).read() of Python, which asks all three, on one core  14 µs, 38 with that of fstat alone (native 13)
//	dd of 10⁶ blocks of 512 bytes, zero to null                  0.44–0.61 s, 1.15–1.23 without (native 0.48)
//	pgbench TPC-B, 8 clients                                     1.97 k/s, 1.50 without
//
// # Files that are read and closed
//
// A program that reads many files opens each, asks for its attributes, reads all of it and closes it. Only the open needs the
// kernel, if nobody else has the program's memory and descriptors. What a file has that was just opened lies in the address space's
// window (windowAddr, read-only), and reads copy from there, if the program has read its last two files next and as long as both
// generations hold (stubRead). A close clears the descriptor's bit of those that may be closed so (stubShut): regular files open for
// reading that nobody watches or locks. The next Event tells the kernel of both before anything else is done; from outside, in
// /proc, offset and descriptor are the old ones until then. The application can claim to have read or closed what it may read or close.
//
// Where both sides spin nothing is handed out: what another core has just written takes longer to fetch than a call.
//
// Measured on another machine with two cores, both kept busy by other programs:
//
//	open, read of 64 bytes, close         13–22 µs, 22–39 without (native 5–9)
//	make -j2 of 50 C files                1.60 s, 1.82 without; 44,000 entries to the kernel, 53,800 without
//	python3 -m compileall, one core idle  5–8 % less
//
// # Lock order
//
// space.patchMu, lineage.mu, space.mu, process.mu, keeper.mu; answerSet.mu and
// family.usedMu are leaves.
package systrap
