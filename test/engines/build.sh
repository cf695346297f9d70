#!/bin/sh
# build.sh DIR: builds the container engines that Debian has not, or has not new enough, from the Go module proxy into
# DIR/bin, each once. The versions are pinned; DIR/NAME-VERSION tells what is there.
set -eu
dir=$1
containerd=v2.2.9
kubernetes=v1.34.4
staging=v0.34.4 # the k8s.io modules of that release
coredns=v1.14.7   # as in coredns/go.mod
etcd=$(command -v etcd || true)
export CGO_ENABLED=0
mkdir -p "$dir/bin"
here=$(cd "$(dirname "$0")" && pwd)

if [ ! -e "$dir/coredns-$coredns" ]; then
	echo "building CoreDNS $coredns (once)"
	(cd "$here/coredns" && go build -trimpath -ldflags '-s -w' -o "$dir/bin/coredns" .)
	touch "$dir/coredns-$coredns"
fi

if [ ! -e "$dir/containerd-$containerd" ]; then
	echo "building containerd $containerd (once)"
	for b in containerd containerd-shim-runc-v2 ctr; do
		GOBIN="$dir/bin" GOFLAGS=-mod=mod go install -trimpath -ldflags '-s -w' -tags no_btrfs,no_devmapper,no_zfs,no_aufs \
			"github.com/containerd/containerd/v2/cmd/$b@$containerd"
	done
	touch "$dir/containerd-$containerd"
fi

programs=
for b in kube-apiserver kube-scheduler kube-controller-manager kubelet kubectl kube-proxy; do
	[ -e "$dir/$b-$kubernetes" ] || programs="$programs $b"
done
if [ -n "$programs" ]; then
	echo "building of Kubernetes $kubernetes:$programs (once)"
	[ -n "$etcd" ] || { echo "no etcd: install etcd-server" >&2; exit 1; }
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	cd "$tmp"
	src=$(go mod download -json "k8s.io/kubernetes@$kubernetes" | sed -n 's/.*"Dir": "\(.*\)",/\1/p')
	# A module of our own that has all that Kubernetes' has. Its parts are modules beside it in its repository, which the
	# proxy has by the release's number.
	sed 's/^module .*/module ringfort\/kubernetes/; /=> .\/staging/d' "$src/go.mod" >go.mod
	echo "require k8s.io/kubernetes $kubernetes" >>go.mod
	for m in $(grep -E '^[[:space:]]*k8s.io/[a-z0-9-]+ v0[.]0[.]0$' "$src/go.mod" | awk '{print $1}' | sort -u); do
		echo "replace $m => $m $staging" >>go.mod
	done
	cp "$src/go.sum" go.sum
	printf '//go:build tools\n\npackage tools\n\nimport _ "k8s.io/kubernetes/cmd/kubelet"\n' >tools.go
	chmod u+w go.mod go.sum
	version="-X k8s.io/component-base/version.gitVersion=$kubernetes -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=34"
	for b in $programs; do
		GOFLAGS=-mod=mod go build -trimpath -ldflags "-s -w $version" -o "$dir/bin/$b" "k8s.io/kubernetes/cmd/$b"
		touch "$dir/$b-$kubernetes"
	done
fi
