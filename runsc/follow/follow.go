package follow

import (
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"ringfort/netstack"
	"ringfort/runsc/control"
	"ringfort/runsc/isolate"
	"ringfort/seccompfilters"
)

// Descriptors of the process beside the standard ones: the connection over which the configuration comes and the outcome
// of the set-up goes, and two control connections to the Sentry.
const (
	firstFD = 3
	tellFD  = 4
	waitFD  = 5
)

// Capabilities is what it takes to read links and to take them over.
var Capabilities = []int{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW}

// A Config is what the process is started with.
type Config struct {
	ID string `json:"id"`
	// Net is the JSON form of the netstack.Config that the Sentry has.
	Net json.RawMessage `json:"net"`
}

// Main is the whole life of the process; it returns the exit status. It ends with the sandbox.
func Main() int {
	var conf Config
	first, err := control.ReadConfig(os.NewFile(firstFD, "config"), &conf)
	if err != nil {
		fmt.Fprintln(os.Stderr, "follow:", err)
		return seccompfilters.CrashStatus
	}
	f, tell, wait, err := prepare(&conf)
	if err := first.Ready(err); err != nil || f == nil {
		return seccompfilters.CrashStatus
	}
	first.Close()
	go func() {
		wait.Wait(conf.ID, 0)
		os.Exit(seccompfilters.ExitStatus(0))
	}()
	err = f.Run(func(c *netstack.Change, files []*os.File) error {
		data, err := json.Marshal(c)
		if err != nil {
			return err
		}
		if err := tell.ChangeNetwork(data, files); err != nil {
			fmt.Fprintln(os.Stderr, "follow:", err) // the next change may fare better
		}
		return nil
	})
	fmt.Fprintln(os.Stderr, "follow:", err)
	return 1
}

// prepare takes the connections over, begins to follow, and gives up every right that is not needed for it.
func prepare(conf *Config) (f *netstack.Follower, tell, wait *control.Client, err error) {
	for fd := tellFD; fd <= waitFD; fd++ {
		unix.CloseOnExec(fd)
	}
	if err := isolate.CloseInherited(waitFD + 1); err != nil {
		return nil, nil, nil, err
	}
	if tell, err = control.NewClient(os.NewFile(tellFD, "control")); err != nil {
		return nil, nil, nil, err
	}
	if wait, err = control.NewClient(os.NewFile(waitFD, "control")); err != nil {
		return nil, nil, nil, err
	}
	var last netstack.Config
	if err := json.Unmarshal(conf.Net, &last); err != nil {
		return nil, nil, nil, err
	}
	if f, err = netstack.NewFollower(&last); err != nil {
		return nil, nil, nil, err
	}
	if err := isolate.PrivateMounts(); err != nil {
		return nil, nil, nil, err
	}
	root, err := isolate.EmptyTmpfs(unix.MOUNT_ATTR_RDONLY)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := isolate.PivotInto(root, "/proc"); err != nil { // which is there, as our own program was found in it
		return nil, nil, nil, err
	}
	unix.Close(root)
	if err := isolate.KeepCapabilities(Capabilities...); err != nil {
		return nil, nil, nil, err
	}
	if err := seccompfilters.Install(seccompfilters.Follow()); err != nil {
		return nil, nil, nil, err
	}
	return f, tell, wait, nil
}
