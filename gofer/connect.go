package gofer

import (
	"strconv"

	"golang.org/x/sys/unix"
	"ringfort/gofer/wire"
)

// connect answers TConnect. It never waits: a listener whose queue is full is EAGAIN.
func (s *server) connect(d *wire.Decoder, _ *wire.Encoder) (int, error) {
	f, err := s.takeFID(d)
	if err != nil {
		return -1, err
	}
	typ := d.U32()
	if err := take(d); err != nil {
		return -1, err
	}
	if f.mode != unix.S_IFSOCK || !s.hostSockets {
		return -1, unix.ECONNREFUSED
	}
	switch typ {
	case unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET:
	default:
		return -1, unix.EINVAL
	}
	fd, err := unix.Socket(unix.AF_UNIX, int(typ)|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	for {
		// The name in the directory of our own descriptors leads to the very socket of the fid.
		err := unix.Connect(fd, &unix.SockaddrUnix{Name: strconv.Itoa(f.fd)})
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			unix.Close(fd)
			return -1, err
		}
		return fd, nil
	}
}
