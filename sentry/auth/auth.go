package auth

import (
	"math/bits"

	"golang.org/x/sys/unix"
)

// KUID and KGID are user and group IDs in the root user namespace.
type (
	KUID uint32
	KGID uint32
)

// Special IDs.
const (
	// NoID is -1: "no change" in chown and the set*id calls, and an ID that
	// cannot be mapped.
	NoID = ^uint32(0)
	// OverflowID is what an unmapped ID reads as (/proc/sys/kernel/overflowuid).
	OverflowID = 65534
	RootKUID   = KUID(0)
	RootKGID   = KGID(0)
)

// CapSet is a set of capabilities, bit n for capability n (capabilities(7)).
type CapSet uint64

// AllCaps is every capability Linux defines.
const AllCaps = CapSet(1)<<(unix.CAP_LAST_CAP+1) - 1

// CapOf returns the set of the given capabilities.
func CapOf(caps ...int) (s CapSet) {
	for _, c := range caps {
		s |= 1 << c
	}
	return s
}

// Has reports whether c is in s.
func (s CapSet) Has(c int) bool { return s>>uint(c)&1 != 0 }

// Len returns the number of capabilities in s.
func (s CapSet) Len() int { return bits.OnesCount64(uint64(s)) }

// Credentials are what a task may do (credentials(7), capabilities(7)).
// Published ones are never changed.
type Credentials struct {
	RUID, EUID, SUID, FSUID KUID
	RGID, EGID, SGID, FSGID KGID
	Groups                  []KGID // supplementary

	Permitted, Effective, Inheritable, Bounding, Ambient CapSet

	// SecureBits are SECBIT_* of prctl(2) PR_SET_SECUREBITS.
	SecureBits uint32
	NoNewPrivs bool
	KeepCaps   bool

	UserNS *UserNamespace
}

// NewRoot returns the credentials of an all-powerful user of ns.
func NewRoot(ns *UserNamespace) *Credentials {
	return &Credentials{
		Permitted: AllCaps, Effective: AllCaps, Bounding: AllCaps, UserNS: ns,
	}
}

// Copy returns a copy that may be changed until it is published.
func (c *Credentials) Copy() *Credentials {
	d := *c
	d.Groups = append([]KGID(nil), c.Groups...)
	return &d
}

// HasCapIn reports whether c has the capability in ns: it does if it is
// effective and c's namespace is ns or an ancestor of it, or if c owns a
// namespace on the way (user_namespaces(7), "Capabilities").
func (c *Credentials) HasCapIn(capability int, ns *UserNamespace) bool {
	for {
		if c.UserNS == ns {
			return c.Effective.Has(capability)
		}
		if ns.level <= c.UserNS.level {
			return false
		}
		if ns.parent == c.UserNS && ns.owner == c.EUID {
			return true
		}
		ns = ns.parent
	}
}

// HasCap reports whether c has the capability in its own namespace.
func (c *Credentials) HasCap(capability int) bool { return c.Effective.Has(capability) }

// HasRootCap reports whether c has the capability in the root namespace, as
// things that belong to the whole sandbox demand.
func (c *Credentials) HasRootCap(capability int) bool {
	return c.UserNS.parent == nil && c.Effective.Has(capability)
}

// InGroup reports whether g is the file system group or a supplementary one.
func (c *Credentials) InGroup(g KGID) bool {
	if c.FSGID == g {
		return true
	}
	for _, s := range c.Groups {
		if s == g {
			return true
		}
	}
	return false
}
