// Package forward is the process that stands, on the host's side of a pod's network namespace, for those who listen on
// the loopback inside. The kernel there knows nothing of them, and engines connect there: containerd for
// `kubectl port-forward`, kubelet for probes of localhost.
//
// It listens on 127.0.0.1 and ::1 at the ports at which the sandbox has listeners, no more and no less, and hands
// connections to the Sentry, which does the rest. Without root it does so on the sandbox's own addresses as well: there
// an engine publishes ports by a process in the namespace that connects to them (podman's rootlessport). It must never
// connect to anything, nor listen where the sandbox does not.
package forward
