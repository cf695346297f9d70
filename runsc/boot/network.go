package boot

import (
	"encoding/json"
	"fmt"
	"os"

	"ringfort/netstack"
	"ringfort/runsc/control"
	"ringfort/sentry/socket/netns"
)

// network returns the sandbox's network namespace, made from the first
// container's configuration.
func (s *sandbox) network(a *control.CreateArgs) (*netns.Namespace, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.net != nil {
		return s.net, nil
	}
	n, err := s.newNetwork(a)
	if err != nil {
		return nil, err
	}
	n.Host = s.conf.Network == HostNetwork
	s.net = n
	return n, nil
}

func (s *sandbox) newNetwork(a *control.CreateArgs) (*netns.Namespace, error) {
	if len(a.Net) == 0 {
		return netns.New(s.k.InitUserNS())
	}
	stack, err := newStack(a.Net, a.NetFiles)
	if err != nil {
		return nil, err
	}
	return netns.FromStack(stack, s.k.InitUserNS()), nil
}

// newStack builds the stack from what runsc has read and opened in the host's namespace.
func newStack(config json.RawMessage, files []*os.File) (*netstack.Stack, error) {
	var cfg netstack.Config
	if err := json.Unmarshal(config, &cfg); err != nil {
		return nil, fmt.Errorf("network configuration: %w", err)
	}
	stack, err := netstack.New(&cfg, files)
	if err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	return stack, nil
}

// SetNetwork implements control.NetworkSetter: no program has run yet, so nothing holds the old stack.
func (s *sandbox) SetNetwork(id string, config json.RawMessage, files []*os.File) error {
	c, err := s.find(id)
	if err != nil {
		return err
	}
	s.mu.Lock()
	shared := len(s.containers) > 1
	s.mu.Unlock()
	if shared || id != s.conf.ID {
		return &control.Error{Text: "the network of a sandbox whose programs run cannot be replaced"}
	}
	stack, err := newStack(config, files)
	if err != nil {
		return err
	}
	c.net.ReplaceStack(stack)
	return c.setSysctls() // those of the network belong to the stack
}

// ChangeNetwork implements control.NetworkChanger.
func (s *sandbox) ChangeNetwork(change json.RawMessage, files []*os.File) error {
	var c netstack.Change
	err := json.Unmarshal(change, &c)
	s.mu.Lock()
	n := s.net
	s.mu.Unlock()
	if err == nil && n == nil {
		err = &control.Error{Text: "the sandbox has no network yet"}
	}
	if err != nil {
		for _, f := range files {
			f.Close()
		}
		return err
	}
	return n.Stack.Apply(&c, files)
}

var _ control.NetworkChanger = (*sandbox)(nil)
var _ control.NetworkSetter = (*sandbox)(nil)
