// Package docker drives a Docker daemon of its own with runsc as a runtime, beside runc as the oracle. It runs as
// `make test-engines-light`, a part of `make test`, which installs what it needs.
//
// The daemon lives in network and mount namespaces of its own: its bridges, firewall rules and mounts are not the
// machine's and are gone when it ends. With RINGFORT_DOCKER=DIR a daemon is kept in DIR for the next run, for work on
// the cases: `go test -run 'TestCases/NAME$'` then takes seconds.
package docker
