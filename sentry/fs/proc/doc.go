// Package proc is the proc file system (proc(5)): what the kernel tells about processes and about itself as text.
//
// It owns formats only; every fact is asked of the package that owns it at the time of reading. It must never tell a
// task about one it may not trace what proc(5) says is protected so, and never keep a task or its memory alive longer
// than a reading takes. It holds no locks.
package proc
