// Package vfstest gives tests of file systems a caller that is no task. Nothing but tests imports it.
package vfstest

import (
	"time"

	"golang.org/x/sys/unix"
	"ringfort/sentry/auth"
	"ringfort/sentry/limits"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

// Caller is a vfs.Caller. Signals it is sent are counted.
type Caller struct {
	Cr      *auth.Credentials
	Context *vfs.FSContext
	NS      *vfs.MountNamespace
	Lim     *limits.Set
	Signals []int32
	wake    chan struct{}
}

// New returns a root caller in a mount namespace with sb at its root.
func New(sb *vfs.Superblock) *Caller {
	uns := auth.NewRootUserNS()
	ns := vfs.NewMountNamespace(sb, 0, uns)
	return &Caller{
		Cr: auth.NewRoot(uns), NS: ns, Context: vfs.NewFSContext(ns.Root(), ns.Root(), 022), Lim: limits.New(),
		wake: make(chan struct{}, 1),
	}
}

// As returns a caller like c with the IDs of an ordinary user.
func (c *Caller) As(uid uint32) *Caller {
	o := *c
	o.Cr = &auth.Credentials{
		RUID: auth.KUID(uid), EUID: auth.KUID(uid), SUID: auth.KUID(uid), FSUID: auth.KUID(uid),
		RGID: auth.KGID(uid), EGID: auth.KGID(uid), SGID: auth.KGID(uid), FSGID: auth.KGID(uid), UserNS: c.Cr.UserNS,
	}
	o.wake = make(chan struct{}, 1)
	return &o
}

// Creds returns the credentials.
func (c *Caller) Creds() *auth.Credentials { return c.Cr }

// FS returns root, working directory and umask.
func (c *Caller) FS() *vfs.FSContext { return c.Context }

// MountNS returns the mount namespace.
func (c *Caller) MountNS() *vfs.MountNamespace { return c.NS }

// Limits returns the resource limits.
func (c *Caller) Limits() *limits.Set { return c.Lim }

// Memory returns no memory.
func (c *Caller) Memory() usermem.IO { return nil }

// ThreadGroupID returns 1.
func (c *Caller) ThreadGroupID() int32 { return 1 }

// Now returns the present.
func (c *Caller) Now() int64 { return time.Now().UnixNano() }

// SendSignal notes the signal.
func (c *Caller) SendSignal(sig int32) { c.Signals = append(c.Signals, sig) }

// Notify wakes Block.
func (c *Caller) Notify(*wait.Waiter, wait.Events) {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Block waits for a notification, ten seconds at most.
func (c *Caller) Block(int64) error {
	select {
	case <-c.wake:
		return nil
	case <-time.After(10 * time.Second):
		return unix.ETIMEDOUT
	}
}

// Mkdir makes a directory.
func (c *Caller) Mkdir(name string, mode uint32) error {
	return vfs.Make(c, vfs.Path{}, name, vfs.CreateArgs{Mode: unix.S_IFDIR | mode}, nil)
}

// Symlink makes a symbolic link.
func (c *Caller) Symlink(target, name string) error {
	return vfs.Make(c, vfs.Path{}, name, vfs.CreateArgs{Mode: unix.S_IFLNK, Target: target}, nil)
}

// Open opens a file.
func (c *Caller) Open(name string, flags, mode uint32) (*vfs.Description, error) {
	return vfs.Open(c, vfs.Path{}, name, vfs.OpenHow{Flags: flags, Mode: mode})
}

// Write makes a file with this text in it.
func (c *Caller) Write(name, text string) error {
	d, err := c.Open(name, unix.O_CREAT|unix.O_WRONLY|unix.O_TRUNC, 0644)
	if err != nil {
		return err
	}
	defer d.DecRef(c)
	_, err = d.Write(c, usermem.BytesSeq([]byte(text)))
	return err
}

// Read returns a file's text.
func (c *Caller) Read(name string) (string, error) {
	d, err := c.Open(name, unix.O_RDONLY, 0)
	if err != nil {
		return "", err
	}
	defer d.DecRef(c)
	var all []byte
	b := make([]byte, 1000)
	for {
		n, err := d.Read(c, usermem.BytesSeq(b))
		if n == 0 || err != nil {
			return string(all), err
		}
		all = append(all, b[:n]...)
	}
}

// List returns the names in a directory but for the dots.
func (c *Caller) List(name string) ([]string, error) {
	d, err := c.Open(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer d.DecRef(c)
	var names []string
	for {
		got := 0
		err := d.ReadDir(c, func(e vfs.Dirent) bool {
			if got == 3 { // in pieces, as into a small buffer
				return false
			}
			if got++; e.Name != "." && e.Name != ".." {
				names = append(names, e.Name)
			}
			return true
		})
		if got == 0 || err != nil {
			return names, err
		}
	}
}

// Walk returns the error of a walk to name, following a last link.
func (c *Caller) Walk(name string, flags vfs.WalkFlags) (string, error) {
	p, err := vfs.Walk(c, vfs.Path{}, name, flags)
	if err != nil {
		return "", err
	}
	defer p.DecRef()
	return p.String(c), nil
}
