// Package containerd has a containerd of its own run pods with the binary, through its CRI service: by our shim, by the
// shim of runc with our binary, and for comparison by runc. It is a module of its own, for what it needs of Kubernetes'
// client libraries is much. `make test-engines` runs it.
package containerd
