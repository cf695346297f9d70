package pgalloc

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// A host that finds memory page by page takes 3 µs for each, and as long to give it back. In large folios it takes a tenth of
// that, and a fault enters all pages of a folio into the page table. A memfd gets folios only where the administrator has
// said so (shmem_enabled of transparent_hugepage); a tmpfs of our own has a say of its own, its mount option huge.
//
// With huge=within_size a folio reaches no further than the file does, so we make the file longer in small steps and ask for what
// is new at once: that gives folios of the size of a step, or of what is asked for. Ones of 2 MiB are not wanted: most of
// their memory lies idle, and where the host is a virtual machine that gives back what it has free in such pieces, each
// page of them takes 8 µs again. Versions of Linux that know no folios in between give single pages (mm/shmem.c).

// fileName is what the host calls the file.
const fileName = "ringfort-memory"

// folioBytes is the step by which the file grows.
const folioBytes = 64 << 10

// openBacking makes the file: one of folios, or else a memfd, which is as long as it ever gets.
func openBacking() (f *os.File, folios bool, err error) {
	if f, err := openFolios(); err == nil {
		return f, true, nil
	}
	fd, err := unix.MemfdCreate(fileName, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, false, fmt.Errorf("memfd_create: %w", err)
	}
	f = os.NewFile(uintptr(fd), "memory")
	return f, false, f.Truncate(FileSize)
}

// openFolios makes a file in a tmpfs of its own that nobody else can see.
func openFolios() (*os.File, error) {
	var most unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &most); err != nil || most.Cur < FileSize {
		return nil, fmt.Errorf("files are limited to %d bytes (ulimit -f)", most.Cur) // which is better known now than when it grows
	}
	// A page that is touched where there is none would get a folio of 2 MiB. The stubs inherit this from us.
	if err := unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("prctl PR_SET_THP_DISABLE: %w", err)
	}
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("fsopen tmpfs: %w", err)
	}
	defer unix.Close(fs)
	for _, o := range [][2]string{{"huge", "within_size"}, {"size", "0"}} { // 0: no limit
		if err := unix.FsconfigSetString(fs, o[0], o[1]); err != nil {
			return nil, fmt.Errorf("fsconfig %s=%s: %w", o[0], o[1], err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fmt.Errorf("fsconfig tmpfs: %w", err)
	}
	mnt, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return nil, fmt.Errorf("fsmount tmpfs: %w", err)
	}
	defer unix.Close(mnt)
	// It has a name for a moment, by which those know it who look at the host (proc_pid_maps(5)).
	fd, err := unix.Openat(mnt, fileName, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "memory")
	if err := unix.Unlinkat(mnt, fileName, 0); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// extend makes the file reach to end, if it does not, in folios that are there at once if dense. It reports whether it
// reaches so far. f.mu is held.
func (f *File) extend(end uint64, dense bool) bool {
	if end <= f.size {
		return true
	}
	from, size := f.size, min((end+folioBytes-1)&^(folioBytes-1), FileSize)
	fd := int(f.rw.Fd())
	if unix.Ftruncate(fd, int64(size)) != nil {
		return false
	}
	f.size = size
	if dense {
		// Where that fails, pages are found when they are touched, or not.
		_ = unix.Fallocate(fd, 0, int64(from), int64(size-from))
	}
	return true
}
