package shim

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/process"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/errdefs"
	"github.com/containerd/go-runc"
	"github.com/containerd/log"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go/features"
	"golang.org/x/sys/unix"
)

// Name is what the runtime is called in a configuration of containerd.
const Name = "io.containerd.runsc.v1"

// Version is printed by -v and -info.
const Version = "1"

// Manager is how containerd's library starts and removes shims.
type Manager struct{}

// Name implements shim.Manager.
func (Manager) Name() string { return Name }

// Start implements shim.Manager. For a container it does not return when it succeeds: containerd before 1.7 does not
// understand the library's JSON on standard output, and every version understands a bare address. Who asks for a
// sandbox understands it, and that the containers of the sandbox need no start of their own.
func (Manager) Start(ctx context.Context, id string, opts shim.StartOpts) (shim.BootstrapParams, error) {
	address, sandbox, err := start(ctx, id, opts)
	if err != nil {
		return shim.BootstrapParams{}, err
	}
	if sandbox {
		return shim.BootstrapParams{Version: 3, Address: address, Protocol: "ttrpc"}, nil
	}
	if _, err := os.Stdout.WriteString(address); err != nil {
		return shim.BootstrapParams{}, err
	}
	os.Exit(0)
	panic("not reached")
}

// Stop implements shim.Manager: it removes a container whose shim has gone.
func (Manager) Stop(ctx context.Context, id string) (shim.StopStatus, error) {
	cwd, err := os.Getwd()
	if err != nil {
		return shim.StopStatus{}, err
	}
	bundle := filepath.Join(filepath.Dir(cwd), id)
	ns, err := namespaces.NamespaceRequired(ctx)
	if err != nil {
		return shim.StopStatus{}, err
	}
	conf, err := readConfig(bundle)
	if err != nil {
		return shim.StopStatus{}, err
	}
	if err := conf.runtime(bundle, ns).Delete(ctx, id, &runc.DeleteOpts{Force: true}); err != nil {
		log.G(ctx).WithError(err).Warn("runsc delete")
	}
	if _, err := os.Stat(filepath.Join(bundle, hostnameName)); err == nil { // of the sandbox service
		removePod(ctx, conf, bundle, ns, id)
	}
	if err := mount.UnmountRecursive(filepath.Join(bundle, "rootfs"), 0); err != nil {
		log.G(ctx).WithError(err).Warn("unmount the root file system")
	}
	removeSocket(ctx, id)
	pid, err := runc.ReadPidFile(filepath.Join(bundle, process.InitPidFile))
	if err != nil {
		pid = 0 // never created
	}
	return shim.StopStatus{Pid: pid, ExitStatus: 128 + int(unix.SIGKILL), ExitedAt: time.Now()}, nil
}

// removePod removes what else there is of a pod whose shim has gone: nobody else is asked to remove its containers.
func removePod(ctx context.Context, conf *config, bundle, ns, id string) {
	states, _ := filepath.Glob(filepath.Join(conf.root(ns), "*", "state.json")) // the pattern is well formed
	for _, name := range states {
		var st struct {
			ID      string `json:"id"`
			Sandbox string `json:"sandbox"`
		}
		data, err := os.ReadFile(name)
		if err != nil || json.Unmarshal(data, &st) != nil || st.Sandbox != id {
			continue
		}
		if err := conf.runtime(bundle, ns).Delete(ctx, st.ID, &runc.DeleteOpts{Force: true}); err != nil {
			log.G(ctx).WithError(err).WithField("container", st.ID).Warn("runsc delete")
		}
	}
	if err := cleanUp(bundle); err != nil {
		log.G(ctx).WithError(err).Warn("unmount /dev/shm of the pod")
	}
}

// removeSocket removes what a shim that was killed has left of its socket. The library keeps the address of containerd,
// of which the socket's name is made, to itself.
func removeSocket(ctx context.Context, id string) {
	f := flag.Lookup("address")
	group, _, err := groupOf(id)
	if f == nil || err != nil || group != id {
		return // the socket of a pod is removed with its sandbox
	}
	if address, err := shim.SocketAddress(ctx, f.Value.String(), group, false); err == nil && !shim.CanConnect(address) {
		if err := shim.RemoveSocket(address); err != nil && !errors.Is(err, os.ErrNotExist) {
			log.G(ctx).WithError(err).Warn("remove the socket of the shim")
		}
	}
}

// Info implements shim.Manager.
func (Manager) Info(ctx context.Context, options io.Reader) (*types.RuntimeInfo, error) {
	info := &types.RuntimeInfo{Name: Name, Version: &types.RuntimeVersion{Version: Version}}
	given, err := shim.ReadRuntimeOptions[any](options)
	if err != nil && !errors.Is(err, errdefs.ErrNotFound) {
		return nil, fmt.Errorf("options of the runtime: %w", err)
	}
	conf, err := configOf(given)
	if err != nil {
		return nil, err
	}
	if given != nil {
		if info.Options, err = typeurl.MarshalAnyToProto(given); err != nil {
			return nil, err
		}
	}
	out, err := exec.CommandContext(ctx, conf.Binary, "features").Output()
	if err != nil {
		return nil, fmt.Errorf("%s features: %w", conf.Binary, err)
	}
	var f features.Features
	if err := json.Unmarshal(out, &f); err != nil {
		return nil, fmt.Errorf("%s features: %w", conf.Binary, err)
	}
	info.Features, err = typeurl.MarshalAnyToProto(&f)
	return info, err
}
