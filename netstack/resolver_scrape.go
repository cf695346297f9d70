package netstack

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// dockerResolver is where Docker's name server listens in the host's side of a namespace, on a random port to which
// rules of the firewall lead from port 53 (libnetwork).
var dockerResolver = netip.AddrFrom4([4]byte{127, 0, 0, 11})

// isClosed tells the end of a file of our own from an error of the network.
func isClosed(err error) bool { return errors.Is(err, os.ErrClosed) }

// resolver looks for a name server on the host's loopback and opens a socket to it.
func (s *scraper) resolver() error {
	here, err := listens("/proc/thread-self/net/udp", dockerResolver)
	if err != nil || !here {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("socket to the resolver: %w", err)
	}
	f := os.NewFile(uintptr(fd), "resolver")
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: dnsPort, Addr: dockerResolver.As4()}); err != nil {
		f.Close()
		return fmt.Errorf("socket to the resolver %s: %w", dockerResolver, err)
	}
	s.cfg.Resolver = dockerResolver
	s.files = append(s.files, f)
	return nil
}

// listens tells whether a socket is bound to addr, of any port, in a table like /proc/net/udp (proc_net(5)).
func listens(table string, addr netip.Addr) (bool, error) {
	f, err := os.Open(table)
	if err != nil {
		return false, err
	}
	defer f.Close()
	a := addr.As4()
	want := strings.ToUpper(hex.EncodeToString(binary.BigEndian.AppendUint32(nil, binary.NativeEndian.Uint32(a[:]))))
	for sc := bufio.NewScanner(f); sc.Scan(); {
		fields := strings.Fields(sc.Text())
		if len(fields) > 1 && strings.HasPrefix(fields[1], want+":") {
			return true, nil
		}
	}
	return false, nil
}
