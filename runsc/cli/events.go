package cli

import (
	"encoding/json"
	"time"

	"ringfort/runsc/container"
)

// An event is one line of `events`, in the form of runc's.
type event struct {
	Type string           `json:"type"`
	ID   string           `json:"id"`
	Data *container.Usage `json:"data,omitempty"`
}

func eventsCommand() *command {
	c := newCommand("events", "<container-id>", "print statistics of a container again and again", 1, 1)
	interval := c.flags.Duration("interval", 5*time.Second, "`time` between two lines")
	once := c.flags.Bool("stats", false, "print one line and end")
	c.run = func(a *app, args []string) error {
		ct, err := a.open(args[0])
		if err != nil {
			return err
		}
		defer ct.Close()
		out := json.NewEncoder(a.out)
		for {
			usage, err := ct.Usage()
			if err != nil {
				return err
			}
			if err := out.Encode(&event{Type: "stats", ID: ct.ID, Data: usage}); err != nil || *once {
				return err
			}
			time.Sleep(*interval)
		}
	}
	return c
}
