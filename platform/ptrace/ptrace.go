package ptrace

import (
	"sync/atomic"

	"ringfort/platform"
)

// Platform is the ptrace platform.
type Platform struct {
	keeper     *keeper
	xstateSize atomic.Int32 // bytes; 0 until known
}

// New starts the platform. It must be called before the Sentry's seccomp
// filter is installed: it forks once, and never again.
func New() (*Platform, error) {
	k, err := newKeeper()
	if err != nil {
		return nil, err
	}
	return &Platform{keeper: k}, nil
}

// NewAddressSpace implements platform.Platform.
func (p *Platform) NewAddressSpace() (platform.AddressSpace, error) {
	s, err := p.keeper.newStub()
	if err != nil {
		return nil, err
	}
	return &space{k: p.keeper, stub: s}, nil
}

// NewContext implements platform.Platform.
func (p *Platform) NewContext() platform.Context { return &context{p: p} }

// UserAddresses implements platform.Platform.
func (p *Platform) UserAddresses() (min, max uintptr) { return userMin, stubBase }

var _ platform.Platform = (*Platform)(nil)
