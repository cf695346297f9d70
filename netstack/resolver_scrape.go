package netstack

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
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
	table, err := s.udpTable()
	if err != nil {
		return err
	}
	here := listens(table, dockerResolver)
	if table != s.udp {
		table.Close()
	}
	if !here {
		return nil
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

// udpTable returns the table of the namespace's UDP sockets, at its start.
func (s *scraper) udpTable() (*os.File, error) {
	if s.udp == nil {
		return os.Open("/proc/thread-self/net/udp")
	}
	_, err := s.udp.Seek(0, io.SeekStart)
	return s.udp, err
}

// listens tells whether a socket is bound to addr, of any port, in a table like /proc/net/udp (proc_net(5)).
func listens(table io.Reader, addr netip.Addr) bool {
	a := addr.As4()
	want := strings.ToUpper(hex.EncodeToString(binary.BigEndian.AppendUint32(nil, binary.NativeEndian.Uint32(a[:]))))
	for sc := bufio.NewScanner(table); sc.Scan(); {
		fields := strings.Fields(sc.Text())
		if len(fields) > 1 && strings.HasPrefix(fields[1], want+":") {
			return true
		}
	}
	return false
}
