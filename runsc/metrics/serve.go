package metrics

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of what a client can take.
const (
	requestTimeout = 5 * time.Second
	answerTimeout  = 20 * time.Second
	requestMax     = 16 << 10 // bytes
	clientsMax     = 8
)

// Listen opens an address: "unix:PATH", or HOST:PORT. A socket file that nobody listens on is replaced.
func Listen(address string) (net.Listener, error) {
	path, ok := strings.CutPrefix(address, "unix:")
	if !ok {
		return net.Listen("tcp", address)
	}
	l, err := net.Listen("unix", path)
	if errors.Is(err, unix.EADDRINUSE) {
		if c, derr := net.Dial("unix", path); derr == nil {
			c.Close()
			return nil, err
		}
		if st, serr := os.Lstat(path); serr != nil || st.Mode()&os.ModeSocket == 0 {
			return nil, err
		}
		os.Remove(path)
		l, err = net.Listen("unix", path)
	}
	return l, err
}

// Serve answers requests until the listener is closed.
func (s *Source) Serve(l net.Listener) error {
	slots := make(chan struct{}, clientsMax)
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() || errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ECONNABORTED) {
				time.Sleep(10 * time.Millisecond)
				continue
			}
			return err
		}
		slots <- struct{}{}
		go func() {
			defer func() { <-slots }()
			defer conn.Close()
			s.answer(conn)
		}()
	}
}

// answer reads one request and answers it; there is one for each connection.
func (s *Source) answer(conn net.Conn) {
	conn.SetDeadline(time.Now().Add(requestTimeout))
	method, path, err := readRequest(io.LimitReader(conn, requestMax))
	conn.SetDeadline(time.Now().Add(answerTimeout))
	var body bytes.Buffer
	status, kind := "200 OK", "text/plain; charset=utf-8"
	switch {
	case err != nil:
		status = "400 Bad Request"
		fmt.Fprintln(&body, err)
	case method != "GET" && method != "HEAD":
		status = "405 Method Not Allowed"
		fmt.Fprintln(&body, "only GET and HEAD")
	case path == "/metrics":
		kind = "text/plain; version=0.0.4; charset=utf-8"
		s.Write(&body)
	case path == "/":
		fmt.Fprintln(&body, "see /metrics")
	default:
		status = "404 Not Found"
		fmt.Fprintln(&body, "see /metrics")
	}
	fmt.Fprintf(conn, "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", status, kind, body.Len())
	if method != "HEAD" {
		body.WriteTo(conn)
	}
}

// readRequest reads the head of a request (RFC 9112, section 2) and returns what is asked for, without the query.
func readRequest(r io.Reader) (method, path string, err error) {
	b := bufio.NewReader(r)
	for first := true; ; first = false {
		line, err := b.ReadString('\n')
		if err != nil {
			return "", "", fmt.Errorf("request: %w", err)
		}
		line = strings.TrimRight(line, "\r\n")
		switch {
		case first:
			parts := strings.Split(line, " ")
			if len(parts) != 3 || !strings.HasPrefix(parts[2], "HTTP/1.") {
				return "", "", errors.New("not a request of HTTP/1")
			}
			method = parts[0]
			path, _, _ = strings.Cut(parts[1], "?")
		case line == "":
			return method, path, nil
		}
	}
}
