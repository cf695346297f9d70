package kernel

import (
	"sync"

	"ringfort/sentry/auth"
)

// UTSNamespace holds the names uname(2) tells.
type UTSNamespace struct {
	userNS *auth.UserNamespace
	inode  uint64

	mu           sync.RWMutex
	host, domain string
}

// Names returns the host and domain name.
func (u *UTSNamespace) Names() (host, domain string) {
	u.mu.RLock()
	defer u.mu.RUnlock()
	return u.host, u.domain
}

// SetHost sets the host name.
func (u *UTSNamespace) SetHost(s string) {
	u.mu.Lock()
	u.host = s
	u.mu.Unlock()
}

// SetDomain sets the domain name.
func (u *UTSNamespace) SetDomain(s string) {
	u.mu.Lock()
	u.domain = s
	u.mu.Unlock()
}

// UserNS returns the user namespace that owns u.
func (u *UTSNamespace) UserNS() *auth.UserNamespace { return u.userNS }

// Inode returns the number /proc/PID/ns/uts shows.
func (u *UTSNamespace) Inode() uint64 { return u.inode }

// NewUTSNS returns a copy of u owned by ns (CLONE_NEWUTS).
func (k *Kernel) NewUTSNS(u *UTSNamespace, ns *auth.UserNamespace) *UTSNamespace {
	host, domain := u.Names()
	return &UTSNamespace{userNS: ns, inode: k.nsInode(), host: host, domain: domain}
}
