package container

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"

	"ringfort/netstack"
	"ringfort/runsc/control"
	"ringfort/test/netns"
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
	netns.New(t, near)
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
	said, err := callFrom("/var/run/netns/"+near, "10.78.0.2:7")
	if err != nil || said != "hello from the stack\n" {
		t.Fatalf("%q, %v; log: %s", said, err, lastWords(c.LogFile))
	}
	if ws, err := c.Wait(0); ws != 0 || err != nil {
		t.Errorf("wait: %v, %v", ws, err)
	}
}

// callFrom connects from a network namespace and reads all that it gets. It tries again until the stack listens.
func callFrom(netns, addr string) (string, error) {
	ns, err := os.Open(netns)
	if err != nil {
		return "", err
	}
	defer ns.Close()
	var data []byte
	apart(func() {
		if err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return
		}
		var conn net.Conn
		for range 20 {
			if conn, err = net.DialTimeout("tcp", addr, 2*time.Second); err == nil {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		if err != nil {
			return
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		data, err = io.ReadAll(conn)
	})
	return string(data), err
}
