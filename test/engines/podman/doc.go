// Package podman runs containers with podman as root and as an ordinary user, without an option that is not podman's
// own. It runs as `make test-engines-light`. Its storage, bridges and firewall are in a directory and in namespaces of its own,
// and so are the user and his subordinate IDs.
package podman
