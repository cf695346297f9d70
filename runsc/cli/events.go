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
	c := newCommand("events", "<container-id>", "print statistics of a container again and again, and when memory is short", 1, 1)
	interval := c.flags.Duration("interval", 5*time.Second, "`time` between two lines")
	once := c.flags.Bool("stats", false, "print one line and end")
	c.run = func(a *app, args []string) error {
		ct, err := a.open(args[0])
		if err != nil {
			return err
		}
		defer ct.Close()
		out := json.NewEncoder(a.out)
		kills := ct.OOMKills()
		for {
			usage, err := ct.Usage()
			if err != nil {
				return err
			}
			if err := out.Encode(&event{Type: "stats", ID: ct.ID, Data: usage}); err != nil || *once {
				return err
			}
			if err := awaitOOM(ct, &kills, *interval, out); err != nil {
				return err
			}
		}
	}
	return c
}

// awaitOOM writes an event whenever the host kills for want of memory in the container's cgroup, for some time.
func awaitOOM(ct *container.Container, kills *uint64, long time.Duration, out *json.Encoder) error {
	const look = 200 * time.Millisecond
	for end := time.Now().Add(long); ; {
		time.Sleep(min(look, max(0, time.Until(end))))
		if n := ct.OOMKills(); n > *kills {
			*kills = n
			if err := out.Encode(&event{Type: "oom", ID: ct.ID}); err != nil {
				return err
			}
		}
		if !time.Now().Before(end) {
			return nil
		}
	}
}
