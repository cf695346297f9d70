// Command containerd-shim-runsc-v1 is the shim by which containerd runs containers with runsc
// (runtime_type "io.containerd.runsc.v1").
package main

import (
	"context"

	containerd "github.com/containerd/containerd/v2/pkg/shim"

	"ringfort/runsc/shim"
)

func main() {
	shim.Register()
	containerd.Run(context.Background(), shim.Manager{})
}
