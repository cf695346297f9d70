//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command runsc is an OCI runtime that runs each container behind a kernel of its own.
//
// The settings above keep the Go runtime from following the CPU limit of the host's cgroup, for which it would hold a
// descriptor of the host's in the Sentry.
package main

import (
	"encoding/json"
	"os"

	"ringfort/netstack"
	"ringfort/runsc/boot"
	"ringfort/runsc/cli"
	"ringfort/syscalls"
)

func main() {
	os.Exit(cli.Main(&cli.Deps{Scrape: scrape, View: view, ReleaseNet: netstack.Release, NewSandbox: boot.NewSandbox, Syscalls: table}))
}

// table is the table of system calls as the command line prints it.
func table() []cli.Syscall {
	var rows []cli.Syscall
	for _, c := range syscalls.Table() {
		rows = append(rows, cli.Syscall{Number: int(c.Nr), Name: c.Name, Support: c.Level.String(), Note: c.Note})
	}
	return rows
}

// view is netstack.View with the configuration in the form in which it travels.
func view(nsPath string) ([]byte, error) {
	config, err := netstack.View(nsPath)
	if err != nil {
		return nil, err
	}
	return json.Marshal(config)
}

// scrape is netstack.Scrape with the configuration in the form in which it travels.
func scrape(nsPath string) ([]byte, []*os.File, error) {
	config, files, err := netstack.Scrape(nsPath)
	if err != nil {
		return nil, nil, err
	}
	data, err := json.Marshal(config)
	return data, files, err
}
