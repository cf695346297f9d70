package spec

import (
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Annotations by which a CRI implementation says what a container is to its pod: containerd's
// (containerd/pkg/cri/annotations) and cri-o's (cri-o/pkg/annotations) names.
var criAnnotations = []struct{ kind, sandbox string }{
	{"io.kubernetes.cri.container-type", "io.kubernetes.cri.sandbox-id"},
	{"io.kubernetes.cri-o.ContainerType", "io.kubernetes.cri-o.SandboxID"},
}

// SandboxID returns the container whose sandbox a container joins, "" if it gets one of its own.
func SandboxID(s *specs.Spec) string {
	for _, a := range criAnnotations {
		if s.Annotations[a.kind] == "container" {
			return s.Annotations[a.sandbox]
		}
	}
	return ""
}

// IsPod reports whether a container is the first one of a pod.
func IsPod(s *specs.Spec) bool {
	for _, a := range criAnnotations {
		if s.Annotations[a.kind] == "sandbox" {
			return true
		}
	}
	return false
}

// Volumes of a pod that nobody but its containers writes to, by where kubelet keeps them.
const emptyDir = "/volumes/kubernetes.io~empty-dir/"

// IsEmptyDir reports whether a directory of the host is an emptyDir volume.
func IsEmptyDir(source string) bool { return strings.Contains(source, emptyDir) }
