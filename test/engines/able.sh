#!/bin/sh
# able.sh tells whether this machine can run a Docker daemon as the tests need it, and why not.
no() {
	echo "$*" >&2
	exit 1
}
try() { # try WHAT COMMAND...
	what=$1
	shift
	out=$("$@" 2>&1) || no "$what: $(echo "$out" | tail -n 1)"
}
[ "$(id -u)" = 0 ] || no "they need root"
command -v apt-get >/dev/null || command -v dockerd >/dev/null || no "there is no dockerd and no apt-get to install it"
try "no network and mount namespace can be made" unshare --net --mount --propagation private true

# The cases look at cgroups of version 1, in the container and on the host.
group=/sys/fs/cgroup/memory/ringfort-able.$$
mkdir "$group" 2>/dev/null || no "no cgroup can be made in the version 1 hierarchy /sys/fs/cgroup/memory"
rmdir "$group"

try "no overlay can be mounted" unshare --mount --propagation private sh -c '
	mount -t tmpfs none /tmp && mkdir /tmp/l /tmp/u /tmp/w /tmp/m && mount -t overlay -o lowerdir=/tmp/l,upperdir=/tmp/u,workdir=/tmp/w overlay /tmp/m'
command -v ip >/dev/null || { # apt-get says why it cannot
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends iproute2
} >/dev/null
try "no bridge and no veth pair can be made" unshare --net sh -c 'ip link add able0 type bridge && ip link add able1 type veth peer name able2'
