// Package kubernetes runs a Kubernetes of one node, its control plane, kubelet and containerd, with the binary as the
// runtime of a class, and has it run the manifests of docs/kubernetes.md and others. `make test-engines` runs it.
package kubernetes
