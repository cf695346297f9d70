package gofer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"ringfort/gofer/wire"
)

// Options say how an export is served.
type Options struct {
	// ReadOnly refuses every change with EROFS.
	ReadOnly bool
	// NoDevices says that no device node of the tree can be opened: all of its mounts are nodev, and no others appear.
	NoDevices bool
	// ProcFD is a directory descriptor of this process's own /proc/self/fd, taken with OpenProcFD before the process
	// lost sight of /proc. Nil: Serve opens it itself. Several Serve calls may share one.
	ProcFD *os.File
	// HostSockets allows connections to unix sockets of the export. ProcFD must be the working directory then.
	HostSockets bool
	// Opened, unless nil, is told of each descriptor that is opened to stay.
	Opened func(fd int)
	// Listener allows TListen, for a peer that is sure to answer notifications. no_new_privs or CAP_SYS_ADMIN is needed.
	Listener bool
}

// OpenProcFD opens the directory of this process's own descriptors, through which Serve reopens files it holds only
// by O_PATH. Call it in the process that will serve, before it pivots away from /proc.
func OpenProcFD() (*os.File, error) {
	f, err := os.OpenFile("/proc/self/fd", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("the gofer needs /proc/self/fd to reopen files: %w", err)
	}
	return f, nil
}

const (
	maxSyncs = 8                     // syncs to disk running beside the reader
	spin     = 40 * time.Microsecond // how long to look for the next request before sleeping
)

// server is the state of one connection. Only the reading goroutine touches what sendMu does not guard.
type server struct {
	conn, donate, proc int
	root               *os.File
	readOnly           bool
	noDevices          bool
	hostSockets        bool
	mayListen          bool
	opened             func(fd int)
	fids               map[uint32]*fid
	extended           bool
	msize              uint32

	in   []byte // requests read and not yet handled: in[r:w]
	r, w int
	got  uint64 // bytes of requests read
	way  way    // within a request that has paths
	// listens: we rest where the client can wake us on its own core; dry: there was no more to be read when we read last.
	listens, dry bool
	out          wire.Encoder
	// many are the descriptors to be donated with the present reply, dents is room for directory entries.
	many  []int
	dents []byte

	sendMu sync.Mutex
	syncs  chan struct{}
	syncWG sync.WaitGroup
}

// Serve answers the 9P requests of conn, a unix stream socket, about the file tree root, an O_PATH descriptor of a
// directory or of a single file, until the peer hangs up (nil) or breaks the protocol (an error). fds is the
// sequenced-packet socket on which descriptors are donated. The three files are closed on return.
func Serve(root, conn, fds *os.File, opts Options) error {
	defer root.Close()
	defer conn.Close()
	defer fds.Close()
	proc := opts.ProcFD
	if proc == nil {
		var err error
		if proc, err = OpenProcFD(); err != nil {
			return err
		}
		defer proc.Close()
	}
	defer runtime.KeepAlive(proc) // a collected File would close the descriptor that s.proc is
	unix.Umask(0)                 // modes of new files are the Sentry's decision
	s := &server{
		conn: int(conn.Fd()), donate: int(fds.Fd()), proc: int(proc.Fd()), root: root, readOnly: opts.ReadOnly, noDevices: opts.NoDevices, hostSockets: opts.HostSockets,
		mayListen: opts.Listener, opened: opts.Opened,
		fids: map[uint32]*fid{}, msize: wire.MessageSize, in: make([]byte, 4096), syncs: make(chan struct{}, maxSyncs),
	}
	defer s.close()
	for {
		typ, tag, body, err := s.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.serve(typ, tag, body); err != nil {
			if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
				return nil
			}
			return err
		}
	}
}

func (s *server) close() {
	s.syncWG.Wait()
	s.dropFIDs()
}

// next returns the next request; body is valid until the following call.
func (s *server) next() (typ uint8, tag uint16, body []byte, err error) {
	for {
		if s.w-s.r >= wire.HeaderSize {
			size, typ, tag := wire.Header(s.in[s.r:s.w])
			if size < wire.HeaderSize || size > s.msize {
				return 0, 0, nil, fmt.Errorf("9P message of %d bytes; allowed are %d to %d", size, wire.HeaderSize, s.msize)
			}
			if n := int(size); s.w-s.r >= n {
				body := s.in[s.r+wire.HeaderSize : s.r+n]
				s.r += n
				return typ, tag, body, nil
			} else if n > len(s.in) {
				in := make([]byte, n)
				s.w = copy(in, s.in[s.r:s.w])
				s.in, s.r = in, 0
			}
		}
		if s.r > 0 {
			s.w = copy(s.in, s.in[s.r:s.w])
			s.r = 0
		}
		n, err := s.recv(s.in[s.w:])
		if err != nil {
			return 0, 0, nil, err
		}
		s.w += n
		s.got += uint64(n)
	}
}

// recv reads from the connection.
func (s *server) recv(b []byte) (int, error) {
	get := s.recvSpinning
	if s.listens {
		get = s.recvRested
	}
	n, err := get(b)
	switch {
	case err == unix.ECONNRESET || err == nil && n == 0:
		return 0, io.EOF
	case err != nil:
		return 0, fmt.Errorf("reading 9P request: %w", err)
	}
	return n, nil
}

// recvSpinning is recv without a listener. A request often follows the last at once and waking a sleeping process costs
// more than handling it, so it looks for a while before it sleeps; an idle gofer sleeps.
func (s *server) recvSpinning(b []byte) (int, error) {
	flags := 0
	var start time.Time
	if runtime.NumCPU() > 1 {
		flags, start = unix.MSG_DONTWAIT, time.Now()
	}
	for {
		n, _, err := unix.Recvfrom(s.conn, b, flags)
		switch {
		case err == unix.EAGAIN && time.Since(start) > spin:
			flags = 0
		case err != unix.EAGAIN && err != unix.EINTR:
			return n, err
		}
	}
}

// serve handles one request and sends its reply. The error is one of the connection.
func (s *server) serve(typ uint8, tag uint16, body []byte) error {
	if typ == wire.TFsync {
		s.fsync(tag, body)
		return nil
	}
	d := wire.NewDecoder(body)
	s.out.Reset()
	donated, err := s.handle(typ, &d, &s.out)
	if typ == wire.TForget {
		return nil
	}
	if donated >= 0 {
		s.many = append(s.many, donated)
	}
	err = s.reply(&s.out, typ, tag, s.many, err)
	s.keepMany(0)
	return err
}

// reply sends e, or an Rlerror for err, and the descriptors donated.
func (s *server) reply(e *wire.Encoder, typ uint8, tag uint16, donated []int, err error) error {
	rtyp := typ + 1
	if err != nil {
		e.Reset()
		e.U32(uint32(toErrno(err)))
		rtyp, donated = wire.RLError, nil
	}
	s.sendMu.Lock()
	defer s.sendMu.Unlock()
	if len(donated) > 0 {
		rtyp |= wire.Donated
		pkt := [2]byte{byte(tag), byte(tag >> 8)}
		if err := s.send(s.donate, pkt[:], unix.UnixRights(donated...), s.stuck); err != nil {
			return fmt.Errorf("donating a descriptor: %w", err)
		}
	}
	e.Finish(0, rtyp, tag)
	if err := s.send(s.conn, e.B, nil, s.stuck); err != nil {
		return fmt.Errorf("sending 9P reply: %w", err)
	}
	return nil
}

// send sends all of b, calling full as long as there is no room. s.sendMu is held.
func (s *server) send(fd int, b, rights []byte, full func(int)) error {
	for len(b) > 0 {
		n, err := unix.SendmsgN(fd, b, rights, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
		switch {
		case err == unix.EAGAIN:
			full(fd)
		case err == nil:
			b = b[n:]
		case err != unix.EINTR:
			return err
		}
	}
	return nil
}

// toErrno is the number sent for an error of a handler.
func toErrno(err error) unix.Errno {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return unix.EINVAL // a malformed message
}

// fsync answers Tfsync fid[4] beside the reader, on a descriptor of its own.
func (s *server) fsync(tag uint16, body []byte) {
	d := wire.NewDecoder(body)
	f, err := s.takeFID(&d)
	fd := -1
	if err == nil {
		if fd, err = s.reopen(f, unix.O_RDONLY); err == unix.ENXIO {
			fd, err = -1, nil // nothing of a symlink or special file is ours to sync
		}
	}
	s.syncs <- struct{}{}
	s.syncWG.Add(1)
	go func() {
		defer s.syncWG.Done()
		if fd >= 0 {
			err = unix.Fsync(fd)
			unix.Close(fd)
		}
		<-s.syncs
		s.replySynced(tag, err)
	}()
}

// replySynced sends the reply of a TFsync, beside the reader. A failure to send is seen by that, too.
func (s *server) replySynced(tag uint16, err error) {
	var e wire.Encoder
	e.Reset()
	typ := uint8(wire.TFsync + 1)
	if err != nil {
		e.U32(uint32(toErrno(err)))
		typ = wire.RLError
	}
	e.Finish(0, typ, tag)
	s.sendMu.Lock()
	defer s.sendMu.Unlock()
	_ = s.send(s.conn, e.B, nil, func(int) {
		// What fills the socket may be the reader's own, who wants to send the rest of it. So small a message is sent
		// whole or not at all.
		s.sendMu.Unlock()
		time.Sleep(time.Millisecond)
		s.sendMu.Lock()
	})
}
