// Package auth owns identities: credentials, capabilities and user
// namespaces.
//
// Credentials are immutable once published: a task that changes its identity
// makes a copy, changes that, and replaces its pointer. Kernel-side IDs (KUID,
// KGID) are the IDs of the root user namespace; what applications see is
// mapped through their own namespace.
//
// Lock order: UserNamespace.mu is a leaf.
package auth
