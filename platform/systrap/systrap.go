package systrap

import (
	"sync/atomic"

	"errors"
	"fmt"

	"golang.org/x/sys/cpu"

	"ringfort/platform"
)

// userMin is the lowest address of applications; below lies what call sites
// are patched with.
const userMin = 0x100000

// Platform is the systrap platform.
type Platform struct {
	k *keeper
	f *family
}

// errDead: the host process of a stub is gone.
var errDead = platform.ErrDead

// New starts the platform. It must be called before the Sentry's seccomp
// filter is installed: it forks once, and never again.
func New() (*Platform, error) {
	if err := Supported(); err != nil {
		return nil, err
	}
	k, err := newKeeper()
	if err != nil {
		return nil, err
	}
	return &Platform{k, k.root}, nil
}

// Supported says what this machine lacks for the platform, nil if nothing.
func Supported() error {
	if !cpu.X86.HasOSXSAVE {
		return errors.New("systrap platform: the processor has no XSAVE")
	}
	if !hasFSGSBase() {
		return errors.New("systrap platform: the processor or kernel has no FSGSBASE (Linux 5.9 and later have it)")
	}
	return nil
}

// NewAddressSpace implements platform.Platform.
func (p *Platform) NewAddressSpace() (platform.AddressSpace, error) {
	stub, err := p.f.get()
	if err != nil {
		return nil, fmt.Errorf("systrap platform: %w", err)
	}
	return &space{p: stub}, nil
}

// NewContext implements platform.Platform.
func (p *Platform) NewContext(ready *atomic.Int32) platform.Context {
	return &context{k: p.k, ready: ready, seat: seat{at: noSeat}}
}

// UserAddresses implements platform.Platform.
func (p *Platform) UserAddresses() (min, max uintptr) { return userMin, stubBase }

// MapClock implements platform.Clock.
func (p *Platform) MapClock(file platform.HostFile, offset uint64) error {
	return p.f.mapClock(file, offset)
}

var (
	_ platform.Platform = (*Platform)(nil)
	_ platform.Clock    = (*Platform)(nil)
)
