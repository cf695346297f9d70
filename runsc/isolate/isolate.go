package isolate

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// CloseInherited closes the descriptors from number from on that came by execve(2): those that would not be closed by the
// next one, as all are that this process opens itself. Each process that runsc starts begins with it, before there are
// threads that might pass on descriptors; /proc is still the host's. Package syscall of Go writes the ID maps of a
// child by descriptors that are not closed on exec, and starts other children meanwhile.
func CloseInherited(from int) error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("close inherited descriptors: %w", err)
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd < from {
			continue
		}
		// ReadDir's own is gone by now.
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			unix.Close(fd)
		}
	}
	return nil
}

// EmptyTmpfs returns a mount of a fresh, empty tmpfs that is attached nowhere. Its attributes, a set of MOUNT_ATTR_*,
// always include nosuid, nodev and noexec.
func EmptyTmpfs(attr int) (int, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("fsopen tmpfs: %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigSetString(fs, "mode", "0555"); err != nil {
		return -1, fmt.Errorf("fsconfig tmpfs: %w", err)
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("fsconfig tmpfs: %w", err)
	}
	attr |= unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC
	mnt, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attr)
	if err != nil {
		return -1, fmt.Errorf("fsmount tmpfs: %w", err)
	}
	return mnt, nil
}

// PivotInto makes the detached mount mnt the root of this mount namespace and lets go of everything else. The directory
// at, which exists in the present root, is where it is attached for a moment. Other mounts that shall survive have to
// be inside of mnt, or be held as descriptors.
func PivotInto(mnt int, at string) error {
	if err := unix.MoveMount(mnt, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("attach the new root at %s: %w", at, err)
	}
	if err := unix.Fchdir(mnt); err != nil {
		return fmt.Errorf("enter the new root: %w", err)
	}
	// pivot_root(2), "pivot_root(".", ".")": the old root ends up over the new one and is then taken off.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount the host's root: %w", err)
	}
	return unix.Chdir("/")
}

// PrivateMounts stops the propagation of mounts between this namespace and the one it was copied from.
func PrivateMounts() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	return nil
}

// KeepCapabilities reduces every thread to the given capabilities; what is inheritable or ambient is gone with the rest.
// no_new_privs is set on the calling thread, from which the system call filter's installation spreads it, so that the
// bounding set has nothing left to bound. (To clear that as well on every thread takes one stop of the world for each
// of its 41 members: tens of milliseconds.)
func KeepCapabilities(keep ...int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	head := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := &[2]unix.CapUserData{}
	for _, c := range keep {
		data[c/32].Permitted |= 1 << (c % 32)
		data[c/32].Effective |= 1 << (c % 32)
	}
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(head)), uintptr(unsafe.Pointer(data)), 0)
	runtime.KeepAlive(head)
	runtime.KeepAlive(data)
	if errno != 0 {
		return fmt.Errorf("capset: %w", errno)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	return nil
}

// BoundThread empties the bounding set of the calling thread, which has to be locked and given up afterwards, but for
// keep. A program that it starts as root gets no more than that.
func BoundThread(keep ...int) error {
	for c := 0; c <= lastCapability(); c++ {
		if slices.Contains(keep, c) {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil {
			return fmt.Errorf("drop capability %d from the bounding set: %w", c, err)
		}
	}
	return nil
}

// lastCapability asks the running kernel (capabilities(7): PR_CAPBSET_READ fails with EINVAL past the last one).
func lastCapability() int {
	last := unix.CAP_LAST_CAP
	for last < 63 && unix.Prctl(unix.PR_CAPBSET_READ, uintptr(last+1), 0, 0, 0) == nil {
		last++
	}
	for last > 0 && unix.Prctl(unix.PR_CAPBSET_READ, uintptr(last), 0, 0, 0) != nil {
		last--
	}
	return last
}
