package container

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"time"

	"github.com/opencontainers/cgroups"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"ringfort/runsc/control"
	"ringfort/runsc/spec"
)

// DefaultRoot is where containers are kept if nothing else is said.
const DefaultRoot = "/var/run/ringfort"

// Names in a container's directory.
const (
	stateName  = "state.json"
	lockName   = "lock"
	socketName = "control.sock"
	exitName   = "exit"
	logName    = "sentry.log"
)

// stateVersion is raised when State changes in a way that an older or newer runsc would misread.
const stateVersion = 1

// A State is what is kept about a container on disk.
type State struct {
	StateVersion int            `json:"stateVersion"`
	ID           string         `json:"id"`
	Bundle       string         `json:"bundle"`
	Rootfs       string         `json:"rootfs"`
	Created      time.Time      `json:"created"`
	Owner        string         `json:"owner"`
	Status       control.Status `json:"status"`
	Sentry       procID         `json:"sentry"`
	Gofer        procID         `json:"gofer"`
	// Forwarder stands for the listeners of a pod on the host.
	Forwarder procID `json:"forwarder"`
	// Follower takes over links that come late.
	Follower procID `json:"follower"`
	// Init is the process by which the host knows the container: the Sentry, or of a container that has joined another
	// one's sandbox its keeper.
	Init procID `json:"init"`
	// Sandbox is the first container of the sandbox that this one has joined, "" for a first one.
	Sandbox string `json:"sandbox,omitempty"`
	// Cgroup says that host cgroups have been made, by the driver of SystemdCgroup.
	Cgroup        bool   `json:"cgroup"`
	SystemdCgroup bool   `json:"systemdCgroup"`
	CgroupsPath   string `json:"cgroupsPath"`
	LogFile       string `json:"logFile"`
	// LateNetwork says that the network namespace had no links yet when the container was created.
	LateNetwork bool `json:"lateNetwork"`
	// NetPath and NetInode are the network namespace that was joined and whose links the Sentry has.
	NetPath  string `json:"netPath,omitempty"`
	NetInode uint64 `json:"netInode,omitempty"`
}

// A Container is an open container directory.
type Container struct {
	State
	Spec *specs.Spec

	opts *Options
	path string
	dir  *os.File
	lock *os.File        // held when not nil
	conn *control.Client // to the Sentry, for with; nil: one for each request

	cgroupMu sync.Mutex
	cgroup   cgroups.Manager // see cgroupManager
}

// errNotExist words the absence of a container as engines look for it.
func errNotExist(id string) error {
	return &control.Error{Text: "container does not exist: " + id, Kind: control.KindNotFound}
}

func dirOf(root, id string) string { return filepath.Join(root, id) }

// Open finds a container and reads its state. The caller must Close it.
func Open(opts *Options, id string) (*Container, error) {
	c, err := openDir(opts, id)
	if err != nil {
		return nil, err
	}
	if err := c.load(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// openDir opens a container's directory and no more.
func openDir(opts *Options, id string) (*Container, error) {
	if err := spec.CheckID(id); err != nil {
		return nil, err
	}
	path := dirOf(opts.Root, id)
	dir, err := os.OpenFile(path, unix.O_DIRECTORY|os.O_RDONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, errNotExist(id)
	}
	if err != nil {
		return nil, err
	}
	return &Container{State: State{ID: id}, opts: opts, path: path, dir: dir}, nil
}

// load reads state and configuration.
func (c *Container) load() error {
	id := c.ID
	var st State
	if err := readState(filepath.Join(c.path, stateName), &st); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			if _, err := os.Stat(c.path); errors.Is(err, os.ErrNotExist) {
				return errNotExist(id)
			}
			return fmt.Errorf("container %s: its creation was cut off; \"runsc delete --force %s\" removes what is left", id, id)
		}
		return fmt.Errorf("container %s: %w; \"runsc delete --force %s\" removes it", id, err, id)
	}
	c.State = st
	var s specs.Spec
	if err := readState(filepath.Join(c.path, spec.ConfigName), &s); err != nil {
		return fmt.Errorf("container %s: %w; \"runsc delete --force %s\" removes it", id, err, id)
	}
	c.Spec = &s
	return nil
}

// readState decodes a file of ours and says so when it is damaged.
func readState(file string, into any) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s is damaged: %v", filepath.Base(file), err)
	}
	if st, ok := into.(*State); ok && (st.StateVersion != stateVersion || st.ID != filepath.Base(filepath.Dir(file))) {
		return fmt.Errorf("%s is damaged: version %d, id %q", filepath.Base(file), st.StateVersion, st.ID)
	}
	return nil
}

// Close lets go of the directory and of the lock.
func (c *Container) Close() {
	if c.lock != nil {
		c.lock.Close()
		c.lock = nil
	}
	if c.dir != nil {
		c.dir.Close()
		c.dir = nil
	}
}

// lockTimeout bounds the wait for another runsc that changes the same container.
const lockTimeout = 60 * time.Second

// acquire takes the lock of the container's directory, which must not have been removed meanwhile.
func (c *Container) acquire(wait bool) error {
	f, err := os.OpenFile(filepath.Join(c.path, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return errNotExist(c.ID)
		}
		return err
	}
	how := unix.LOCK_EX
	if !wait {
		how |= unix.LOCK_NB
	}
	done := make(chan error, 1)
	go func() {
		for {
			err := unix.Flock(int(f.Fd()), how)
			if err != unix.EINTR {
				done <- err
				return
			}
		}
	}()
	select {
	case err = <-done:
	case <-time.After(lockTimeout):
		// The goroutine keeps the file; the process is about to end with this error.
		return fmt.Errorf("container %s: another runsc has been busy with it for %v", c.ID, lockTimeout)
	}
	if err != nil {
		f.Close()
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil || st.Nlink == 0 {
		f.Close()
		return errNotExist(c.ID)
	}
	c.lock = f
	return nil
}

// save replaces the state on disk.
func (c *Container) save() error { return c.writeJSON(stateName, &c.State) }

// writeJSON replaces a file as a whole: a reader sees the old or the new content, also after a crash of this process.
func (c *Container) writeJSON(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	tmp, file := filepath.Join(c.path, name+".new"), filepath.Join(c.path, name)
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return fmt.Errorf("container %s: %w", c.ID, err)
	}
	// To put it in the place of the old one is to wait for the disk, under ext4 at least; to exchange them is not.
	err = unix.Renameat2(unix.AT_FDCWD, tmp, unix.AT_FDCWD, file, unix.RENAME_EXCHANGE)
	if err != nil {
		return os.Rename(tmp, file)
	}
	return os.Remove(tmp)
}

// claim makes the directory of a new container and takes its lock. What a creation that was cut off has left there is
// removed.
func claim(opts *Options, id string) (*Container, error) {
	if err := spec.CheckID(id); err != nil {
		return nil, err
	}
	path := dirOf(opts.Root, id)
	exists := fmt.Errorf("container with given ID already exists: %s", id)
	for {
		if err := os.MkdirAll(path, 0o700); err != nil {
			return nil, fmt.Errorf("state directory: %w", err)
		}
		c, err := openDir(opts, id)
		if err != nil {
			continue // deleted at this very moment
		}
		err = c.acquire(false)
		if err == nil {
			err = c.load()
			if err == nil && c.Status != control.Creating {
				err = exists
			} else if _, serr := os.Stat(filepath.Join(path, stateName)); err != nil && serr == nil {
				err = fmt.Errorf("%w (and is damaged)", exists)
			} else {
				c.sweep()
				c.State, c.Spec = State{StateVersion: stateVersion, ID: id}, nil
				return c, nil
			}
		} else if errors.Is(err, unix.EWOULDBLOCK) {
			err = exists
		}
		c.Close()
		var e *control.Error
		if errors.As(err, &e) && e.Kind == control.KindNotFound {
			continue
		}
		return nil, err
	}
}

// sweep removes what a creation that was cut off has left; its processes have ended with it.
func (c *Container) sweep() {
	if c.Cgroup && c.Spec != nil {
		c.removeCgroup()
	}
	for _, name := range []string{stateName, spec.ConfigName, socketName, exitName, logName} {
		os.Remove(filepath.Join(c.path, name))
	}
}

// remove deletes the directory. The state goes first: without it there is no container.
func (c *Container) remove() error {
	err := os.Remove(filepath.Join(c.path, stateName))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.RemoveAll(c.path)
}

// List returns the ids of all containers under a root, in order.
func List(opts *Options) ([]string, error) {
	entries, err := os.ReadDir(opts.Root)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() && spec.CheckID(e.Name()) == nil {
			ids = append(ids, e.Name())
		}
	}
	sort.Strings(ids)
	return ids, nil
}
