package shim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"

	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// groupAnnotations name the containers that share a shim: those of a pod, by containerd's and cri-o's names.
var groupAnnotations = []string{"io.kubernetes.cri.sandbox-id", "io.kubernetes.cri-o.SandboxID"}

// groupOf reads from the bundle, which is the working directory, whose shim a container belongs to. There is no
// configuration of an OCI runtime yet in the bundle of a sandbox that the sandbox service is going to make.
func groupOf(id string) (group string, sandbox bool, err error) {
	data, err := os.ReadFile("config.json")
	if errors.Is(err, os.ErrNotExist) {
		return id, true, nil
	}
	if err != nil {
		return "", false, err
	}
	var s specs.Spec
	if err := json.Unmarshal(data, &s); err != nil {
		return "", false, fmt.Errorf("config.json: %w", err)
	}
	for _, name := range groupAnnotations {
		if group := s.Annotations[name]; group != "" {
			return group, false, nil
		}
	}
	return id, false, nil
}

// start finds the shim of a container or starts one, and returns the address of its socket.
func start(ctx context.Context, id string, opts shim.StartOpts) (address string, sandbox bool, err error) {
	group, sandbox, err := groupOf(id)
	if err != nil {
		return "", false, err
	}
	if sandbox {
		if err := keepOptions(os.Stdin); err != nil {
			return "", false, err
		}
	}
	address, err = shim.SocketAddress(ctx, opts.Address, group, false)
	if err != nil {
		return "", false, err
	}
	listener, err := listen(address)
	if err != nil || listener == nil {
		return address, sandbox, err
	}
	if err := spawn(ctx, id, listener, opts); err != nil {
		shim.RemoveSocket(address)
		return "", false, err
	}
	return address, sandbox, nil
}

// keepOptions writes the options of the runtime to the bundle, for they come with no request for a sandbox.
func keepOptions(from io.Reader) error {
	given, err := shim.ReadRuntimeOptions[any](from)
	if err != nil && !errors.Is(err, errdefs.ErrNotFound) {
		return fmt.Errorf("options of the runtime: %w", err)
	}
	conf, err := configOf(given)
	if err != nil {
		return err
	}
	return conf.write(".")
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
