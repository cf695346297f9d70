package container

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"

	"ringfort/netstack"
	"ringfort/runsc/control"
)

// greet serves one connection from the sandbox's own stack, built from what runsc has read and opened.
func greet(a *control.CreateArgs) error {
	var conf netstack.Config
	if err := json.Unmarshal(a.Net, &conf); err != nil {
		return err
	}
	s, err := netstack.New(&conf, a.NetFiles)
	if err != nil {
		return err
	}
	addr := tcpip.FullAddress{Addr: netstack.ToTCPIP(netip.MustParseAddr("10.78.0.2")), Port: 7}
	l, err := gonet.ListenTCP(s.Tcpip(), addr, ipv4.ProtocolNumber)
	if err != nil {
		return err
	}
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(conn, "hello from the stack"); err != nil {
		return err
	}
	// The stack ends with the process, so wait until the peer has it all.
	if err := conn.(*gonet.TCPConn).CloseWrite(); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, conn)
	return err
}

// TestNetworkByHook sets up the network as docker does: in a hook that finds the namespace by the container's PID.
func TestNetworkByHook(t *testing.T) {
	opts := testOptions(t)
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs iproute2")
	}
	opts.Network = "sandbox"
	opts.Scrape = func(ns string) ([]byte, []*os.File, error) {
		conf, files, err := netstack.Scrape(ns)
		if err != nil {
			return nil, nil, err
		}
		data, err := json.Marshal(conf)
		return data, files, err
	}
	near := fmt.Sprintf("rfc%d", os.Getpid()%100000)
	if out, err := exec.Command("ip", "netns", "add", near).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { exec.Command("ip", "netns", "del", near).Run() })
	script := `set -e
pid=$(sed 's/.*"pid":\([0-9]*\).*/\1/')
ip -n ` + near + ` link add host0 type veth peer name eth0 netns $pid
ip -n ` + near + ` addr add 10.78.0.1/24 dev host0
ip -n ` + near + ` link set host0 up
nsenter --net=/proc/$pid/ns/net sh -c 'ip addr add 10.78.0.2/24 dev eth0 && ip link set eth0 up'`
	co := bundle(t, "network")
	co.Spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{
		Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
	}}}
	c := mustCreate(t, opts, co)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	// nc tries again until the stack listens: the connection is refused before.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ip", "netns", "exec", near, "/bin/sh", "-c",
		`for i in 1 2 3 4 5 6 7 8 9; do busybox nc -w 5 10.78.0.2 7 </dev/null && exit; sleep 0.2; done; exit 1`).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "hello from the stack") {
		words := lastWords(c.LogFile)
		t.Fatalf("%v: %s; log: %s", err, out, words)
	}
	if ws, err := c.Wait(0); ws != 0 || err != nil {
		t.Errorf("wait: %v, %v", ws, err)
	}
}
