package cli

// A page is what `runsc help COMMAND` says beside the options.
type page struct {
	// about is what the command does and what to know of it, in paragraphs of lines that fit a terminal.
	about string
	// examples are commands, one a line, each after a line that begins with # and says what it does.
	examples string
}

// manual has the page of each command.
var manual = map[string]page{
	"create": {`Reads config.json of the bundle, starts a sandbox and prepares everything in it. The
program of the container does not run before "start". The standard descriptors of runsc
become those of the program, unless the configuration asks for a terminal, whose master is
then sent to --console-socket. Hooks run as the OCI specification says.

A configuration that cannot be honoured is refused with the name of the field.`,
		`# a container from the bundle in the present directory
runsc create web
# as an engine does it
runsc --log /tmp/log.json --log-format json create --bundle /run/b1 --pid-file /run/b1/pid web`},
	"start": {`Lets the program of a container that was made by "create" run.`,
		`runsc start web`},
	"run": {`"create" and "start" in one. Without --detach runsc stays in the foreground, passes on
terminal and signals, removes the container at its end and exits as it does; the container
does not outlive runsc then.`,
		`# a shell, with "process": {"terminal": true} in config.json
runsc run --bundle /bundles/debian shell
# in the background
runsc run --detach web`},
	"state": {`Prints id, status (creating, created, running, paused, stopped), the PID by which the
host knows the container, bundle, time of creation and annotations as JSON.`,
		`runsc state web`},
	"kill": {`Sends a signal, by name or number, to the first process of a container. SIGKILL ends a
container even if its sandbox does not answer.`,
		`runsc kill web
# every process at once
runsc kill --all web KILL`},
	"delete": {`Removes a container that has stopped or was never started: its directory, cgroups and what
it has of the network. Hooks of its end run. --force also takes one that runs, that was
killed half-way through its creation, or whose state is damaged.`,
		`runsc delete web
# whatever is left of it
runsc delete --force web`},
	"exec": {`Runs another process in a container. It is the container's user, environment and rights
unless options or a --process file (an OCI process) say otherwise. With --tty it has a
terminal. With --detach runsc returns at once and a small process on the host stands for
it: its PID is in --pid-file, signals sent to it are passed on, and it ends with the same
exit code.`,
		`runsc exec web ps
runsc exec --tty web sh
runsc exec --user 33:33 --env HOME=/tmp --cwd /tmp web id`},
	"ps": {`Lists the processes of a container as its Sentry sees them: the PIDs are those inside. With
--format json it prints the PIDs on the host, for engines. Options of ps(1) after the id are
ignored.`,
		`runsc ps web`},
	"list": {`Lists the containers in the state directory with their status now. A container whose files
are damaged is named on standard error.`,
		`runsc list
# only their names
runsc list --quiet`},
	"pause": {`Stops all processes of a container at their next entry into the kernel until "resume".`,
		`runsc pause web`},
	"resume": {`Lets the processes of a paused container go on.`,
		`runsc resume web`},
	"update": {`Changes limits while the container runs: on the host's cgroup, and what programs see of
them inside. What is not given stays as it is.`,
		`runsc update --memory 268435456 --cpu-quota 50000 web
# OCI linux.resources from standard input
echo '{"memory":{"limit":268435456}}' | runsc update --resources - web`},
	"events": {`Prints statistics as JSON, one line each --interval: CPU and memory of the whole sandbox
from the host's cgroup, in the form of runc, and under "sandbox" what only the Sentry knows,
such as the system calls that were asked for and are not there. When the host has killed a
program of the container for want of memory there is a line of type "oom".`,
		`# once
runsc events --stats web
runsc events --interval 10s web`},
	"wait": {`Waits until the container, or with --pid a process of it, has ended and prints its exit
code as JSON.`,
		`runsc wait web`},
	"do": {`Runs a command in a sandbox over the files of this machine, or those below --root. All
changes stay in memory and are gone at the end; there is no network but loopback.`,
		`# try a script without harm
runsc do ./install.sh
runsc do --root /srv/tree sh`},
	"spec": {`Writes a config.json to begin with, for a shell or the given command in the directory
"rootfs" of the bundle.`,
		`mkdir -p b/rootfs && runsc spec --bundle b --no-terminal -- /bin/true`},
	"install": {`Adds this program to "runtimes" in the configuration of the Docker daemon and keeps
everything else there. Global options after -- are used for each container. Docker reads
its configuration anew on SIGHUP or at its next start.`,
		`runsc install
# see what would be written
runsc install --dry-run -- --platform=ptrace
docker run --runtime=runsc --rm debian true`},
	"uninstall": {`Takes the runtime out of the configuration of the Docker daemon again.`,
		`runsc uninstall`},
	"features": {`Prints what of the OCI specification this runtime has, in the form of features.md there.`,
		`runsc features`},
	"syscalls": {`Prints the table of system calls and the level of support of each.`,
		`runsc syscalls
runsc syscalls --format markdown`},
	"debug": {`Looks into the live Sentry of a container, which other containers of a pod share. Profiles
are for "go tool pprof FILE", a trace is for "go tool trace FILE".

--log-level and --strace print the name of the file that has the messages. Programs that ran
before --strace stay a little slower until they call execve(2) again.`,
		`runsc debug --stacks web
runsc debug --profile-cpu cpu.pprof --duration 30 web
# what does it do right now?
tail -f "$(runsc debug --strace on web)"
runsc debug --strace off web`},
	"metric-server": {`Serves the statistics of all containers in the state directory, and in further ones given
by --dir, to Prometheus: GET /metrics over HTTP. Nothing is kept between two requests. It
runs in the foreground until a signal comes. Who can reach the address can read the names of
containers and what they use, so it is on loopback unless you say otherwise.`,
		`runsc metric-server --listen 127.0.0.1:9559
# the containers of Docker and of Kubernetes
runsc --root /run/docker/runtime-runsc/moby metric-server --dir /run/containerd/runsc/k8s.io
curl --unix-socket /run/ringfort.sock http://localhost/metrics`},
	"completion": {`Prints a script that makes a shell complete commands, options, containers and values.`,
		`source <(runsc completion bash)
runsc completion zsh >/usr/local/share/zsh/site-functions/_runsc
runsc completion fish >~/.config/fish/completions/runsc.fish`},
	"version": {`Prints the versions of this program and of the OCI specification.`,
		`runsc version`},
	"help": {`Shows all commands and the global options, or the manual of one command; so does
"runsc COMMAND --help".`,
		`runsc help run`},
}

// general is the end of the page of the whole program.
const general = `
Environment:
  XDG_RUNTIME_DIR              has the state directory of an ordinary user
  LISTEN_FDS, LISTEN_FDNAMES   descriptors for the container (sd_listen_fds(3))

Exit status:
  0 if all is well, 1 for an error, which is one line on standard error (and in --log).
  run, exec and do exit as the program inside did: 128 plus the number of the signal that
  killed it; 126 and 127 if it could not be run or found. 128: the sandbox crashed.

See "runsc help COMMAND" for a command.
`
