package ptrace

import (
	"sync"
	"sync/atomic"

	"ringfort/platform"
)

// Platform is the ptrace platform.
type Platform struct {
	keeper     *keeper
	family     *family
	xstateSize atomic.Int32 // bytes; 0 until known
}

// New starts the platform. It must be called before the Sentry's seccomp
// filter is installed: it forks once, and never again.
func New() (*Platform, error) {
	k, err := newKeeper()
	if err != nil {
		return nil, err
	}
	return &Platform{keeper: k, family: k.root}, nil
}

// NewAddressSpace implements platform.Platform.
func (p *Platform) NewAddressSpace() (platform.AddressSpace, error) {
	s, err := p.family.newStub()
	if err != nil {
		return nil, err
	}
	return &space{k: p.keeper, stub: s}, nil
}

// NewContext implements platform.Platform.
func (p *Platform) NewContext(*atomic.Int32) platform.Context { return &context{p: p} }

// UserAddresses implements platform.Platform.
func (p *Platform) UserAddresses() (min, max uintptr) { return userMin, stubBase }

// group is a family with a template of its own.
type group struct {
	Platform
	pid  int
	keep sync.Once
}

// NewGroup implements platform.Grouper.
func (p *Platform) NewGroup() (platform.Group, error) {
	f, err := p.keeper.newFamily(p.family)
	if err != nil {
		return nil, err
	}
	g := &group{pid: f.template.PID}
	g.keeper, g.family = p.keeper, f
	g.xstateSize.Store(p.xstateSize.Load())
	return g, nil
}

// NewAddressSpace implements platform.Platform.
func (g *group) NewAddressSpace() (platform.AddressSpace, error) {
	g.keep.Do(g.family.keep)
	return g.Platform.NewAddressSpace()
}

// PID implements platform.Group.
func (g *group) PID() int { return g.pid }

// Release implements platform.Group.
func (g *group) Release() { g.family.close() }

var (
	_ platform.Platform = (*Platform)(nil)
	_ platform.Grouper  = (*Platform)(nil)
)
