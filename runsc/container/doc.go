// Package container is the life cycle of a container as the OCI specification has it, seen from the host: the state
// directory, the processes of a sandbox, hooks, host cgroups, consoles.
//
// A container's directory is <root>/<id>: config.json (the configuration as completed at create), state.json (replaced
// as a whole, never written in place), lock (flock(2): whoever changes the container holds it), control.sock, exit (the
// wait status, written by the Sentry at its end) and sentry.log. Until Keep the Sentry lives no longer than the
// runsc that made it, so that a runsc killed at any moment leaves a directory, perhaps a cgroup, and nothing that runs;
// both are taken over by the next create of that id, or removed by delete.
//
// A container whose annotations say so joins the sandbox of another one (join.go): it has a gofer and host cgroups of its
// own, and a keeper, a process that stands for it on the host. Its end is its own; the end of the sandbox's first
// container is the end of all. Processes of its applications are forked from one that has been put into its cgroups.
// Its gofer serves volumes to other containers as well and is in the cgroups of the first one.
//
// It must never act on a process by number alone: a PID is good only together with its start time. Nothing of the
// sandbox is trusted: texts that come from it are shown, never interpreted.
//
// Lock order: the container's lock file, then nothing.
package container
