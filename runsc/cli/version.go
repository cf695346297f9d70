package cli

import (
	"fmt"
	"runtime"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func versionCommand() *command {
	c := newCommand("version", "", "print the version", 0, 0)
	c.run = func(a *app, _ []string) error { return a.version() }
	return c
}

// version prints in the form that docker reads.
func (a *app) version() error {
	_, err := fmt.Fprintf(a.out, "runsc version %s\nspec: %s\ngo: %s\n", Version, specs.Version, runtime.Version())
	return err
}
