package shim

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"

	"github.com/containerd/containerd/api/types/runc/options"
	runtimeoptions "github.com/containerd/containerd/api/types/runtimeoptions/v1"
	"github.com/containerd/go-runc"
	"github.com/pelletier/go-toml/v2"
	"golang.org/x/sys/unix"
)

// DefaultRoot is where the state of containers is kept unless options say otherwise; each namespace of containerd has a
// directory in it.
const DefaultRoot = "/run/containerd/runsc"

// A config says how runsc is called. It is kept in the bundle, for whoever removes the container after the shim.
type config struct {
	Binary  string   `json:"binary"`
	Root    string   `json:"root"`
	Systemd bool     `json:"systemd"`
	Args    []string `json:"args,omitempty"` // further global options
	IOUID   int      `json:"ioUID"`
	IOGID   int      `json:"ioGID"`
}

// A fileConfig is the TOML file that the options of a runtime may name.
type fileConfig struct {
	BinaryName    string            `toml:"binary_name"`
	Root          string            `toml:"root"`
	SystemdCgroup bool              `toml:"systemd_cgroup"`
	Runsc         map[string]string `toml:"runsc_config"` // global options of runsc
}

// configOf reads the options that came with a container: those of runc, or a file of our own.
func configOf(given any) (*config, error) {
	c := &config{Root: DefaultRoot}
	switch o := given.(type) {
	case nil:
	case *options.Options:
		c.Binary, c.Systemd, c.IOUID, c.IOGID = o.BinaryName, o.SystemdCgroup, int(o.IoUid), int(o.IoGid)
		if o.Root != "" {
			c.Root = o.Root
		}
	case *runtimeoptions.Options:
		if err := c.fromFile(o); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("options of type %T: use those of io.containerd.runc.v2, or ConfigPath", given)
	}
	return c, c.find()
}

// fromFile reads the file, or the text, that the options have.
func (c *config) fromFile(o *runtimeoptions.Options) error {
	data, name := o.ConfigBody, "ConfigBody"
	if len(data) == 0 && o.ConfigPath != "" {
		var err error
		if data, err = os.ReadFile(o.ConfigPath); err != nil {
			return fmt.Errorf("options of the runtime: %w", err)
		}
		name = o.ConfigPath
	}
	var f fileConfig
	if err := toml.Unmarshal(data, &f); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	c.Binary, c.Systemd = f.BinaryName, f.SystemdCgroup
	if f.Root != "" {
		c.Root = f.Root
	}
	for key, value := range f.Runsc {
		c.Args = append(c.Args, "--"+key+"="+value)
	}
	sort.Strings(c.Args)
	return nil
}

// find makes Binary a path: of what was named, else of the runsc beside this program, else of one in PATH.
func (c *config) find() (err error) {
	if c.Binary != "" {
		c.Binary, err = exec.LookPath(c.Binary)
		return err
	}
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "runsc")
		if unix.Access(beside, unix.X_OK) == nil {
			c.Binary = beside
			return nil
		}
	}
	c.Binary, err = exec.LookPath("runsc")
	return err
}

// configName is the file in the bundle.
const configName = "runsc-shim.json"

func (c *config) write(bundle string) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(bundle, configName), data, 0o600)
}

// readConfig reads what write has left; without it the options were the default ones.
func readConfig(bundle string) (*config, error) {
	data, err := os.ReadFile(filepath.Join(bundle, configName))
	if errors.Is(err, os.ErrNotExist) {
		return configOf(nil)
	}
	if err != nil {
		return nil, err
	}
	c := &config{}
	if err := json.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("%s: %w", configName, err)
	}
	return c, nil
}

// runtime returns how runsc is called for a bundle.
func (c *config) runtime(bundle, namespace string) *runc.Runc {
	return &runc.Runc{
		Command: c.Binary, Root: c.root(namespace), Log: filepath.Join(bundle, "log.json"), LogFormat: runc.JSON,
		PdeathSignal: unix.SIGKILL, SystemdCgroup: c.Systemd, ExtraArgs: c.Args,
	}
}

// root is the state directory of a namespace.
func (c *config) root(namespace string) string { return filepath.Join(c.Root, namespace) }
