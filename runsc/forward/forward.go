package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"ringfort/runsc/control"
	"ringfort/runsc/isolate"
	"ringfort/seccompfilters"
)

// Descriptors of the process beside the standard ones: the connection over which the outcome of the set-up goes, and two
// control connections to the Sentry.
const (
	firstFD = 3
	watchFD = 4
	handFD  = 5
)

// Capabilities is what it takes to listen on any port.
var Capabilities = []int{unix.CAP_NET_BIND_SERVICE}

// Main is the whole life of the process; it returns the exit status. It ends with the sandbox.
func Main() int {
	first, err := control.ReadConfig(os.NewFile(firstFD, "config"), &struct{}{})
	if err != nil {
		fmt.Fprintln(os.Stderr, "forward:", err)
		return seccompfilters.CrashStatus
	}
	f, err := prepare()
	if err := first.Ready(err); err != nil {
		return seccompfilters.CrashStatus
	}
	first.Close()
	if err != nil {
		return seccompfilters.CrashStatus
	}
	f.run()
	return 0
}

// prepare takes the connections over and gives up every right but that to listen.
func prepare() (*forwarder, error) {
	for fd := watchFD; fd <= handFD; fd++ {
		unix.CloseOnExec(fd)
	}
	if err := isolate.CloseInherited(handFD + 1); err != nil {
		return nil, err
	}
	watch, err := control.NewClient(os.NewFile(watchFD, "control"))
	if err != nil {
		return nil, err
	}
	hand, err := control.NewClient(os.NewFile(handFD, "control"))
	if err != nil {
		return nil, err
	}
	// Package net looks into /proc for the length of queues, once.
	if l, err := net.Listen("tcp4", "127.0.0.1:0"); err == nil {
		l.Close()
	}
	if err := isolate.PrivateMounts(); err != nil {
		return nil, err
	}
	root, err := isolate.EmptyTmpfs(unix.MOUNT_ATTR_RDONLY)
	if err != nil {
		return nil, err
	}
	// /proc is where our own program was found, so it is there; what is mounted on it does not matter.
	if err := isolate.PivotInto(root, "/proc"); err != nil {
		return nil, err
	}
	unix.Close(root)
	if err := isolate.KeepCapabilities(Capabilities...); err != nil {
		return nil, err
	}
	return &forwarder{watch: watch, hand: hand, open: map[control.Listener]net.Listener{}}, seccompfilters.Install(seccompfilters.Forward())
}

// A forwarder has the listeners of the host that stand for those of the sandbox.
type forwarder struct {
	watch *control.Client
	open  map[control.Listener]net.Listener

	mu   sync.Mutex // of hand
	hand *control.Client
}

// run follows the sandbox's listeners until it ends.
func (f *forwarder) run() {
	changes := ^uint64(0) // of no state there is: the first answer comes at once
	for {
		l, err := f.watch.Listeners(changes)
		if err != nil {
			return
		}
		changes = l.Changes
		f.follow(l.List)
	}
}

// follow opens what is new and closes what has gone.
func (f *forwarder) follow(list []control.Listener) {
	want := map[control.Listener]bool{}
	for _, l := range list {
		want[l] = true
	}
	for l, n := range f.open {
		if !want[l] {
			n.Close()
			delete(f.open, l)
		}
	}
	for l := range want {
		if f.open[l] != nil {
			continue
		}
		n, err := listen(l)
		if err != nil { // a port that the host's side has in use itself, or no IPv6
			if !errors.Is(err, unix.EADDRNOTAVAIL) && !errors.Is(err, unix.EAFNOSUPPORT) {
				fmt.Fprintln(os.Stderr, "forward:", err)
			}
			continue
		}
		f.open[l] = n
		go f.accept(l, n)
	}
}

func listen(l control.Listener) (net.Listener, error) {
	network, address := "tcp4", fmt.Sprintf("127.0.0.1:%d", l.Port)
	switch {
	case l.Addr.IsValid():
		address = netip.AddrPortFrom(l.Addr, l.Port).String()
		if l.Addr.Is6() {
			network = "tcp6"
		}
	case l.Six:
		network, address = "tcp6", fmt.Sprintf("[::1]:%d", l.Port)
	}
	var c net.ListenConfig
	c.SetMultipathTCP(false)
	return c.Listen(context.Background(), network, address)
}

// accept hands connections over until the listener is closed.
func (f *forwarder) accept(l control.Listener, n net.Listener) {
	for {
		c, err := n.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "forward:", err)
			return
		}
		f.pass(l, c.(*net.TCPConn))
	}
}

// pass gives a connection to the Sentry. One that it does not take is reset, as the application's end of a connection
// would be.
func (f *forwarder) pass(to control.Listener, c *net.TCPConn) {
	defer c.Close()
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	cerr := raw.Control(func(fd uintptr) {
		var copy int
		if copy, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); err == nil {
			file := os.NewFile(uintptr(copy), "connection")
			err = f.hand.Forward(to, file)
			file.Close()
		}
	})
	if err = errors.Join(err, cerr); err != nil {
		c.SetLinger(0)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			fmt.Fprintf(os.Stderr, "forward: port %d: %v\n", to.Port, err)
		}
	}
}
