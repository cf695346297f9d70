package shim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"

	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/shim"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// groupAnnotations name the containers that share a shim: those of a pod, by containerd's and cri-o's names.
var groupAnnotations = []string{"io.kubernetes.cri.sandbox-id", "io.kubernetes.cri-o.SandboxID"}

// groupOf reads from the bundle, which is the working directory, whose shim a container belongs to.
func groupOf(id string) (string, error) {
	data, err := os.ReadFile("config.json")
	if err != nil {
		return "", err
	}
	var s specs.Spec
	if err := json.Unmarshal(data, &s); err != nil {
		return "", fmt.Errorf("config.json: %w", err)
	}
	for _, name := range groupAnnotations {
		if group := s.Annotations[name]; group != "" {
			return group, nil
		}
	}
	return id, nil
}

// start finds the shim of a container or starts one, and returns the address of its socket.
func start(ctx context.Context, id string, opts shim.StartOpts) (string, error) {
	group, err := groupOf(id)
	if err != nil {
		return "", err
	}
	address, err := shim.SocketAddress(ctx, opts.Address, group, false)
	if err != nil {
		return "", err
	}
	listener, err := listen(address)
	if err != nil || listener == nil {
		return address, err
	}
	if err := spawn(ctx, id, listener, opts); err != nil {
		shim.RemoveSocket(address)
		return "", err
	}
	return address, nil
}

// listen makes the shim's socket; nil without an error: a shim answers there already.
func listen(address string) (*net.UnixListener, error) {
	l, err := shim.NewSocket(address)
	if err == nil {
		return l, nil
	}
	if !shim.SocketEaddrinuse(err) {
		return nil, fmt.Errorf("socket of the shim: %w", err)
	}
	if shim.CanConnect(address) {
		return nil, nil
	}
	if err := shim.RemoveSocket(address); err != nil { // its shim has gone
		return nil, fmt.Errorf("socket of the shim: %w", err)
	}
	if l, err = shim.NewSocket(address); err != nil {
		return nil, fmt.Errorf("socket of the shim: %w", err)
	}
	return l, nil
}

// spawn starts this program again as the shim that stays.
func spawn(ctx context.Context, id string, listener *net.UnixListener, opts shim.StartOpts) error {
	ns, err := namespaces.NamespaceRequired(ctx)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	listener.SetUnlinkOnClose(false)
	f, err := listener.File()
	if err != nil {
		return err
	}
	defer f.Close()
	args := []string{"-namespace", ns, "-id", id, "-address", opts.Address}
	if opts.Debug {
		args = append(args, "-debug")
	}
	cmd := exec.Command(self, args...)
	cmd.Dir, cmd.Env = dir, os.Environ()
	cmd.ExtraFiles = []*os.File{f}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the shim: %w", err)
	}
	if err := shim.AdjustOOMScore(cmd.Process.Pid); err != nil && !errors.Is(err, os.ErrPermission) {
		cmd.Process.Kill()
		return fmt.Errorf("OOM score of the shim: %w", err)
	}
	return cmd.Process.Release()
}
