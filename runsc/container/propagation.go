package container

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"ringfort/runsc/spec"
)

// checkShared refuses bind mounts that ask for what only the host's kernel could do: a mount that is made in the
// sandbox is the Sentry's alone and never appears on the host. Where the source is not shared on the host either there
// is nobody to share with, and the mount is shared within the sandbox.
func checkShared(s *specs.Spec) error {
	for i := range s.Mounts {
		m := &s.Mounts[i]
		if !spec.IsBind(m) || !slices.ContainsFunc(m.Options, func(o string) bool { return o == "shared" || o == "rshared" }) {
			continue
		}
		at, shared, err := hostMount(m.Source)
		if err != nil {
			return fmt.Errorf("mounts[%d].source: %s: %w", i, m.Source, err)
		}
		if shared {
			return fmt.Errorf("mounts[%d].options: %s: shared with the host's %s: mounts made in a sandbox cannot appear on the host; use slave or private", i, m.Destination, at)
		}
	}
	return nil
}

// hostMount finds the mount that a file of the host is in, and whether it is shared.
func hostMount(file string) (at string, shared bool, err error) {
	infos, err := mountinfo.GetMounts(mountinfo.ParentsFilter(file))
	if err != nil {
		return "", false, err
	}
	for _, in := range infos { // of several at one place the last is on top
		if len(in.Mountpoint) >= len(at) {
			at, shared = in.Mountpoint, strings.Contains(in.Optional, "shared:")
		}
	}
	return at, shared, nil
}
