package container

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ociState is what hooks read from their standard input and `runsc state` prints most of.
func (c *Container) ociState(status specs.ContainerState, pid int) *specs.State {
	return &specs.State{
		Version: specs.Version, ID: c.ID, Status: status, Pid: pid, Bundle: c.Bundle, Annotations: c.Spec.Annotations,
	}
}

// runHooks runs hooks one after the other on the host. With netns they are born in that network namespace.
func (c *Container) runHooks(kind string, hooks []specs.Hook, state *specs.State, netns string) error {
	if len(hooks) == 0 {
		return nil
	}
	input, err := json.Marshal(state)
	if err != nil {
		return err
	}
	for i := range hooks {
		if err := runHook(&hooks[i], input, c.Bundle, netns); err != nil {
			return fmt.Errorf("error running %s hook #%d: %w", kind, i, err)
		}
	}
	return nil
}

// poststop runs the hooks of the container's end; one that fails keeps the others from nothing.
func (c *Container) poststop() {
	state := c.ociState(specs.StateStopped, 0)
	for i, h := range c.Spec.Hooks.Poststop {
		if err := c.runHooks("poststop", []specs.Hook{h}, state, ""); err != nil {
			c.opts.warn("poststop hook #%d: %v", i, errors.Unwrap(err))
		}
	}
}

// maxHookOutput bounds what is kept of a failing hook's output, in bytes.
const maxHookOutput = 4096

// runHook runs one hook and waits for it, but no longer than its timeout says.
func runHook(h *specs.Hook, input []byte, dir, netns string) error {
	ctx := context.Background()
	if h.Timeout != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(*h.Timeout)*time.Second)
		defer cancel()
	}
	cmd := exec.CommandContext(ctx, h.Path)
	if len(h.Args) > 0 {
		cmd.Args = h.Args
	}
	cmd.Env = h.Env
	if cmd.Env == nil {
		cmd.Env = []string{}
	}
	cmd.Dir = dir
	cmd.Stdin = bytes.NewReader(input)
	var out tail
	cmd.Stdout, cmd.Stderr = &out, &out
	// Children of a hook that keep its output open do not hold us up.
	cmd.WaitDelay = time.Second
	err := startIn(netns, cmd)
	if err == nil {
		err = cmd.Wait()
	}
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s: timeout of %d s passed", h.Path, *h.Timeout)
	}
	if text := strings.TrimSpace(string(out.data)); text != "" {
		return fmt.Errorf("%s: %w, output: %s", h.Path, err, strings.ReplaceAll(text, "\n", "; "))
	}
	return fmt.Errorf("%s: %w", h.Path, err)
}

// startIn starts a command in a network namespace, "" for the present one.
func startIn(netns string, cmd *exec.Cmd) error {
	if netns == "" {
		return cmd.Start()
	}
	ns, err := os.Open(netns)
	if err != nil {
		return fmt.Errorf("network namespace: %w", err)
	}
	defer ns.Close()
	apart(func() {
		if err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			err = fmt.Errorf("network namespace %s: %w", netns, err)
			return
		}
		err = cmd.Start()
	})
	return err
}

// A tail keeps the last bytes written to it.
type tail struct{ data []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.data = append(t.data, p...)
	if len(t.data) > maxHookOutput {
		t.data = append(t.data[:0], t.data[len(t.data)-maxHookOutput:]...)
	}
	return len(p), nil
}
