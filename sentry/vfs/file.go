package vfs

import (
	"ringfort/sentry/arch"
	"ringfort/sentry/memmap"
	"ringfort/sentry/usermem"
	"ringfort/sentry/wait"
)

// File is what a file system or a kernel object puts behind an open file
// description. Embed FileBase for the errors Linux gives where an operation
// does not apply.
//
// Operations never wait for data: they return EAGAIN (unix.EAGAIN) when they
// would have to, whatever O_NONBLOCK says, and the system call layer waits on
// Queue and tries again. Short internal waits (a round trip to the gofer) are
// allowed. All methods may be called concurrently.
type File interface {
	// Read reads at off (of a positional file; else off is ignored) into dst.
	// 0, nil is end of file.
	Read(c Caller, d *Description, dst usermem.Seq, off int64) (int64, error)
	// Write writes src at off; a positional file opened O_APPEND writes at its
	// end atomically and ignores off: it returns the offset after the data too.
	Write(c Caller, d *Description, src usermem.Seq, off int64) (n, end int64, err error)
	// Poll returns which of the events in mask are ready now (Err and HUp always
	// count).
	Poll(mask wait.Events) wait.Events
	// Queue returns the queue notified when Poll may have changed; nil if the
	// file is always ready.
	Queue() *wait.Queue
	// Ioctl performs ioctl(2); ENOTTY for an unknown command.
	Ioctl(c Caller, d *Description, cmd uint32, arg arch.Argument) (uintptr, error)
	// Release is called once, when the last reference to the description is gone.
	Release(c Caller)
}

// The optional abilities of a File, found by type assertion.
type (
	// Seeker is a file with a size to seek in; without it the file is a stream
	// (lseek and pread give ESPIPE).
	Seeker interface {
		// Seek returns the new offset for whence SEEK_SET, SEEK_CUR (cur is the
		// present one), SEEK_END, SEEK_DATA or SEEK_HOLE.
		Seek(c Caller, d *Description, off int64, whence int32, cur int64) (int64, error)
	}
	// DirReader is an open directory.
	DirReader interface {
		// ReadDir calls emit for entries from position pos on until emit returns
		// false, which means that it did not take this one; it returns the
		// position to go on from. Positions are stable
		// under creation and removal of other entries (telldir(3)).
		ReadDir(c Caller, d *Description, pos int64, emit func(e Dirent) bool) (int64, error)
	}
	// Mapper is a file that mmap(2) accepts (ENODEV without).
	Mapper interface {
		// Mappable returns the object whose offset is the file's. May be called
		// for each mmap; shared and write tell what is asked.
		Mappable(c Caller, d *Description) (memmap.Mappable, error)
	}
	// Syncer is a file that fsync(2) does something for.
	Syncer interface {
		Sync(c Caller, dataOnly bool) error
	}
	// Allocator is a file that fallocate(2) works on.
	Allocator interface {
		Allocate(c Caller, mode uint32, off, length int64) error
	}
	// OffsetSharer is a file whose offset is shared with others than the
	// holders of the description (an inherited host file).
	OffsetSharer interface {
		SharedOffset() int64
	}
	// FlagSetter hears of F_SETFL changes (O_DIRECT, O_NONBLOCK on host files).
	FlagSetter interface {
		SetFlags(flags uint32) error
	}
	// FDInfo adds lines to /proc/PID/fdinfo/N (epoll, eventfd, inotify, …).
	FDInfo interface {
		FDInfo() string
	}
	// Flusher hears of each close(2) of a descriptor, not only of the last.
	Flusher interface {
		Flush(c Caller) error
	}
)

// Dirent is a directory entry for getdents(2).
type Dirent struct {
	Name string
	Ino  uint64
	Type uint8 // unix.DT_*
	Next int64 // position of the entry after this one
}
