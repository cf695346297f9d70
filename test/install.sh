#!/bin/sh
# install.sh run|test|engines-light|engines|bench: installs the Debian packages that
# the command needs and are not there, for the tests makes the Debian root file
# system they run in, for the container engines one with servers to run in
# containers, and for the benchmark a copy of the first with the servers that are
# measured. engines-light does without what has to be built.
set -eu

need() {
	missing=
	for p in "$@"; do
		dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $p"
	done
	[ -z "$missing" ] && return
	echo "installing:$missing"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

rootfs=${RINGFORT_ROOTFS:-/var/cache/ringfort/debian12}
engines=${RINGFORT_ENGINES_ROOTFS:-/var/cache/ringfort/engines12}
servers=${RINGFORT_BENCH_ROOTFS:-/var/cache/ringfort/bench12}

# fill adds the servers to the copy, and a database to measure, in a mount
# namespace that takes the mounts away again. No service may start.
fill='set -eu
r=$1
mount -t proc proc "$r/proc"; mount -t tmpfs tmpfs "$r/dev/shm"; mount -t tmpfs -o mode=1777 tmpfs "$r/tmp"
printf "#!/bin/sh\nexit 101\n" >"$r/usr/sbin/policy-rc.d"; chmod 755 "$r/usr/sbin/policy-rc.d"
cp /etc/resolv.conf "$r/etc/resolv.conf"
in="chroot $r /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive"
$in apt-get update
$in apt-get install -y --no-install-recommends redis-server redis-tools nginx-light wrk postgresql-15 postgresql-client-15
$in apt-get clean
rm "$r/usr/sbin/policy-rc.d"
mkdir -p "$r/bench"; chown --reference="$r/var/lib/postgresql" "$r/bench"
pg="$in setpriv --reuid=postgres --regid=postgres --clear-groups"; bin=/usr/lib/postgresql/15/bin
$pg $bin/initdb -D /bench/pg --auth=trust
$pg $bin/pg_ctl -D /bench/pg -w -l /tmp/log -o "-k /tmp -h 127.0.0.1" start
$pg $bin/pgbench -h /tmp -i -s 10 postgres
$pg $bin/pg_ctl -D /bench/pg -w -m fast stop
'

case "$1" in
run)
	need busybox-static
	;;
test)
	need busybox-static debootstrap gcc libc6-dev iproute2 make git
	if [ ! -e "$rootfs/.complete" ]; then
		echo "making the Debian root in $rootfs (once)"
		rm -rf "$rootfs"
		mkdir -p "$(dirname "$rootfs")"
		debootstrap --variant=minbase \
			--include=bash,coreutils,findutils,grep,sed,gawk,tar,gzip,xz-utils,perl,python3,gcc,libc6-dev,make,git,sqlite3,nodejs,golang-go,procps,iproute2,util-linux,file,bc,diffutils,patch,less,psmisc,time,bsdextrautils,zip,unzip,bzip2,jq,iputils-ping,netcat-openbsd,ca-certificates,dash \
			bookworm "$rootfs" "${RINGFORT_MIRROR:-http://deb.debian.org/debian}" >"$rootfs.log" 2>&1 || { tail "$rootfs.log"; exit 1; }
		touch "$rootfs/.complete"
	fi
	;;
engines-light | engines)
	# A service that a package brings must not start here.
	policy=/usr/sbin/policy-rc.d
	if [ ! -e $policy ]; then
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod 755 $policy
		trap 'rm -f $policy' EXIT
	fi
	need busybox-static debootstrap iproute2 iptables bsdutils util-linux podman runc crun containernetworking-plugins \
		uidmap slirp4netns catatonit
	# Debian's package would replace a Docker that came otherwise.
	command -v dockerd >/dev/null || need docker.io
	command -v docker-compose >/dev/null || need docker-compose
	if [ ! -e "$engines/.complete" ]; then
		echo "making the root with servers in $engines (once)"
		rm -rf "$engines"
		mkdir -p "$(dirname "$engines")"
		debootstrap --variant=minbase \
			--include=redis-server,postgresql-15,nginx-light,procps,iproute2,python3-minimal,netcat-openbsd,iputils-ping \
			bookworm "$engines" "${RINGFORT_MIRROR:-http://deb.debian.org/debian}" >"$engines.log" 2>&1 || { tail "$engines.log"; exit 1; }
		rm -rf "$engines"/var/cache/apt/archives/*.deb "$engines"/usr/share/doc/* "$engines"/usr/share/man/* "$engines"/usr/share/locale/*
		touch "$engines/.complete"
	fi
	[ "$1" = engines ] || exit 0
	need etcd-server
	"$(dirname "$0")/engines/build.sh" "${RINGFORT_ENGINES:-/var/cache/ringfort/engines}"
	;;
bench)
	"$0" test
	if [ ! -e "$servers/.complete-bench" ]; then
		echo "making the root with servers in $servers (once)"
		rm -rf "$servers"
		cp -a "$rootfs" "$servers"
		unshare --mount --pid --fork sh -c "$fill" sh "$servers" >"$servers.log" 2>&1 || { tail "$servers.log"; exit 1; }
		touch "$servers/.complete-bench"
	fi
	;;
*)
	echo "usage: $0 run|test|engines-light|engines|bench" >&2
	exit 2
	;;
esac
