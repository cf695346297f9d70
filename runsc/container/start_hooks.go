package container

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"ringfort/runsc/control"
)

// startHooks runs the startContainer hooks, whose paths are the container's: they are processes of the container, run
// by the Sentry before its init.
func (c *Container) startHooks() error {
	if c.Spec.Hooks == nil {
		return nil
	}
	for i := range c.Spec.Hooks.StartContainer {
		if err := c.startHook(&c.Spec.Hooks.StartContainer[i]); err != nil {
			return fmt.Errorf("error running startContainer hook #%d: %w", i, err)
		}
	}
	return nil
}

func (c *Container) startHook(h *specs.Hook) error {
	input, err := json.Marshal(c.ociState(specs.StateCreated, c.Init.PID))
	if err != nil {
		return err
	}
	stdin, err := memoryFile("hook-state", input)
	if err != nil {
		return err
	}
	defer stdin.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	args := h.Args
	if len(args) == 0 {
		args = []string{h.Path}
	}
	process := *c.Spec.Process
	process.Terminal, process.ConsoleSize = false, nil
	process.Args = append([]string{h.Path}, args[1:]...)
	process.Env = h.Env
	process.Cwd = "/"
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.Close()
	pid, err := cl.Exec(&control.ExecArgs{ID: c.ID, Process: &process, Stdio: [3]*os.File{stdin, null, null}}, true)
	if err != nil {
		return fmt.Errorf("%s: %w", h.Path, err)
	}
	if h.Timeout != nil {
		// The hang-up makes the Sentry kill the hook.
		late := time.AfterFunc(time.Duration(*h.Timeout)*time.Second, cl.Close)
		defer late.Stop()
	}
	ws, err := cl.Wait(c.ID, pid)
	switch {
	case err != nil && h.Timeout != nil:
		return fmt.Errorf("%s: timeout of %d s passed", h.Path, *h.Timeout)
	case err != nil:
		return fmt.Errorf("%s: %w", h.Path, err)
	case ws != 0:
		return fmt.Errorf("%s: exit status %d", h.Path, ws.ExitCode())
	}
	return nil
}

// memoryFile returns a file without a name that has the given content and stands at its beginning.
func memoryFile(name string, content []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err = f.Write(content); err == nil {
		_, err = f.Seek(0, 0)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
