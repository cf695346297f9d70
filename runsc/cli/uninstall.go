package cli

import (
	"encoding/json"
	"fmt"
)

func uninstallCommand() *command {
	c := newCommand("uninstall", "", "take this program out of Docker's runtimes", 0, 0)
	file := c.flags.String("config-file", defaultDaemonJSON, "the Docker daemon's configuration `file`")
	name := c.flags.String("runtime", "runsc", "`name` of the runtime")
	dryRun := c.flags.Bool("dry-run", false, "print the configuration instead of writing it")
	c.run = func(a *app, args []string) error {
		d, err := readDaemonJSON(*file)
		if err != nil {
			return err
		}
		list, err := d.runtimes()
		if err != nil {
			return err
		}
		if !list.remove(*name) {
			return fmt.Errorf("%s has no runtime %q", *file, *name)
		}
		if len(list) == 0 {
			d.remove("runtimes")
		} else if err := d.set("runtimes", list); err != nil {
			return err
		}
		// A daemon whose default runtime is not there does not start.
		var standard string
		if json.Unmarshal(d.get("default-runtime"), &standard) == nil && standard == *name {
			d.remove("default-runtime")
		}
		return a.finish(d, *dryRun, fmt.Sprintf("runtime %q is no more", *name))
	}
	return c
}
