package control

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A frame is: length of the JSON (uint32, big endian), number of descriptors (uint32), then for each group of up to
// maxFilesPerMessage descriptors one zero byte that carries them, then the JSON. The kernel takes at most 253
// descriptors in one message (unix(7), SCM_MAX_FD).
const (
	headerSize         = 8
	maxPayload         = 64 << 20
	maxFiles           = 4096
	maxFilesPerMessage = 200
)

// frameTimeout bounds the time between the first and the last byte of a frame.
const frameTimeout = 20 * time.Second

type request struct {
	Method string          `json:"method"`
	Args   json.RawMessage `json:"args,omitempty"`
}

type response struct {
	Err    *Error          `json:"err,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
}

// conn is one end of a control connection. Its methods are not safe for concurrent use, but one reader and one
// writer may run at the same time.
type conn struct {
	u *net.UnixConn
}

// newConn takes over f, a connected unix stream socket.
func newConn(f *os.File) (*conn, error) {
	c, err := net.FileConn(f)
	f.Close()
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, errors.New("control: not a unix socket")
	}
	return &conn{u: u}, nil
}

func (c *conn) close() { c.u.Close() }

// send writes one frame. The files stay the caller's.
func (c *conn) send(v any, files []*os.File) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(body) > maxPayload || len(files) > maxFiles {
		return fmt.Errorf("control: a message of %d bytes and %d descriptors is too large", len(body), len(files))
	}
	c.u.SetWriteDeadline(time.Now().Add(frameTimeout))
	defer c.u.SetWriteDeadline(time.Time{})
	var head [headerSize]byte
	binary.BigEndian.PutUint32(head[0:], uint32(len(body)))
	binary.BigEndian.PutUint32(head[4:], uint32(len(files)))
	if len(files) == 0 {
		_, err = c.u.Write(append(head[:], body...))
		return err
	}
	if _, err := c.u.Write(head[:]); err != nil {
		return err
	}
	for len(files) > 0 {
		n := min(len(files), maxFilesPerMessage)
		fds := make([]int, n)
		for i, f := range files[:n] {
			fds[i] = int(f.Fd())
		}
		if _, _, err := c.u.WriteMsgUnix([]byte{0}, unix.UnixRights(fds...), nil); err != nil {
			return err
		}
		files = files[n:]
	}
	_, err = c.u.Write(body)
	return err
}

// receive reads one frame into v. With idle > 0 it waits no longer than that for the frame to begin. The files are
// the caller's.
func (c *conn) receive(v any, idle time.Duration) (files []*os.File, err error) {
	defer func() {
		if err != nil {
			closeAll(files)
			files = nil
		}
	}()
	var deadline time.Time
	if idle > 0 {
		deadline = time.Now().Add(idle)
	}
	c.u.SetReadDeadline(deadline)
	var head [headerSize]byte
	n, err := c.u.Read(head[:])
	if err != nil {
		return nil, err
	}
	c.u.SetReadDeadline(time.Now().Add(frameTimeout))
	if _, err := io.ReadFull(c.u, head[n:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[0:])
	count := binary.BigEndian.Uint32(head[4:])
	if size > maxPayload || count > maxFiles {
		return nil, fmt.Errorf("control: a frame of %d bytes and %d descriptors is not one of ours", size, count)
	}
	for len(files) < int(count) {
		want := min(int(count)-len(files), maxFilesPerMessage)
		got, err := c.receiveFiles(want)
		files = append(files, got...)
		if err != nil {
			return files, err
		}
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(c.u, body); err != nil {
		return files, err
	}
	return files, json.Unmarshal(body, v)
}

// receiveFiles reads one message that carries exactly want descriptors.
func (c *conn) receiveFiles(want int) ([]*os.File, error) {
	var data [1]byte
	oob := make([]byte, unix.CmsgSpace(4*maxFilesPerMessage))
	n, oobn, flags, _, err := c.u.ReadMsgUnix(data[:], oob)
	if err != nil {
		return nil, err
	}
	var files []*os.File
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	for i := range messages {
		fds, perr := unix.ParseUnixRights(&messages[i])
		if perr != nil {
			continue
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	switch {
	case err != nil:
	case n == 0:
		err = io.ErrUnexpectedEOF
	case flags&unix.MSG_CTRUNC != 0:
		err = errors.New("control: descriptors were lost on the way (limit of open files?)")
	case len(files) != want:
		err = fmt.Errorf("control: %d descriptors came where %d were announced", len(files), want)
	}
	return files, err
}

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}

// stdioFiles lists the descriptors of a process in wire order: the console or the three standard ones.
func stdioFiles(stdio [3]*os.File, console *os.File) []*os.File {
	if console != nil {
		return []*os.File{console}
	}
	return stdio[:]
}

// A fileTaker hands out received files in order and remembers running short.
type fileTaker struct {
	files []*os.File
	short bool
}

func (t *fileTaker) one() *os.File {
	if len(t.files) == 0 {
		t.short = true
		return nil
	}
	f := t.files[0]
	t.files = t.files[1:]
	return f
}

func (t *fileTaker) many(n int) []*os.File {
	if n < 0 || n > len(t.files) {
		t.short = true
		return nil
	}
	f := t.files[:n:n]
	t.files = t.files[n:]
	return f
}

func (t *fileTaker) process(terminal bool) (stdio [3]*os.File, console *os.File) {
	if terminal {
		return stdio, t.one()
	}
	for i := range stdio {
		stdio[i] = t.one()
	}
	return stdio, nil
}

func (t *fileTaker) err() error {
	if t.short || len(t.files) != 0 {
		return errors.New("control: the number of descriptors does not fit the request")
	}
	return nil
}

// createWire and execWire add the counts that tell received descriptors apart.
type createWire struct {
	*CreateArgs
	Terminal  bool `json:"terminal"`
	Preserved int  `json:"preserved"`
	NetFiles  int  `json:"netFiles"`
	Cgroups   int  `json:"cgroups,omitempty"`
	Exit      bool `json:"exit,omitempty"`
}

type execWire struct {
	*ExecArgs
	Terminal  bool `json:"terminal"`
	Preserved int  `json:"preserved"`
	// KillOnHangup kills the process when this connection breaks before the process has ended.
	KillOnHangup bool `json:"killOnHangup"`
}

type limitsWire struct {
	ID string `json:"id"`
	Limits
}

type networkWire struct {
	ID  string          `json:"id"`
	Net json.RawMessage `json:"net"`
}

func (a *CreateArgs) wire() (*createWire, []*os.File) {
	w := &createWire{
		CreateArgs: a, Terminal: a.Console != nil, Preserved: len(a.Preserved), NetFiles: len(a.NetFiles),
		Cgroups: len(a.Cgroups), Exit: a.Exit != nil,
	}
	files := append([]*os.File(nil), stdioFiles(a.Stdio, a.Console)...)
	files = append(files, a.Preserved...)
	files = append(files, a.NetFiles...)
	files = append(files, a.Cgroups...)
	if a.Exit != nil {
		files = append(files, a.Exit)
	}
	for _, m := range a.Mounts {
		files = append(files, m.Conn, m.FDs)
	}
	return w, files
}

func (w *createWire) take(files []*os.File) error {
	if w.CreateArgs == nil || w.Spec == nil || w.Spec.Process == nil {
		return errors.New("control: create without a process")
	}
	t := fileTaker{files: files}
	w.Stdio, w.Console = t.process(w.Terminal)
	w.CreateArgs.Preserved = t.many(w.Preserved)
	w.CreateArgs.NetFiles = t.many(w.NetFiles)
	w.CreateArgs.Cgroups = t.many(w.Cgroups)
	if w.Exit {
		w.CreateArgs.Exit = t.one()
	}
	for i := range w.Mounts {
		w.Mounts[i].Conn, w.Mounts[i].FDs = t.one(), t.one()
	}
	return t.err()
}

func (a *ExecArgs) wire() (*execWire, []*os.File) {
	w := &execWire{ExecArgs: a, Terminal: a.Console != nil, Preserved: len(a.Preserved)}
	return w, append(append([]*os.File(nil), stdioFiles(a.Stdio, a.Console)...), a.Preserved...)
}

func (w *execWire) take(files []*os.File) error {
	if w.ExecArgs == nil || w.Process == nil {
		return errors.New("control: exec without a process")
	}
	t := fileTaker{files: files}
	w.Stdio, w.Console = t.process(w.Terminal)
	w.ExecArgs.Preserved = t.many(w.Preserved)
	return t.err()
}
