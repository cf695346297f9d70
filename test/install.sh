#!/bin/sh
# install.sh run|test: installs the Debian packages that the command needs and
# are not there, and for the tests makes the Debian root file system they run in.
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
*)
	echo "usage: $0 run|test" >&2
	exit 2
	;;
esac
