package netstack

import (
	"reflect"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
)

// errnos are Linux's numbers for errors of the stack: what the socket calls
// return for the condition the type names.
var errnos = byType(map[unix.Errno][]tcpip.Error{
	unix.EPIPE:         {&tcpip.ErrAborted{}, &tcpip.ErrClosedForSend{}},
	unix.EAFNOSUPPORT:  {&tcpip.ErrAddressFamilyNotSupported{}},
	unix.EINVAL:        {&tcpip.ErrAlreadyBound{}, &tcpip.ErrInvalidEndpointState{}, &tcpip.ErrInvalidOptionValue{}, &tcpip.ErrInvalidPortRange{}, &tcpip.ErrMalformedHeader{}, &tcpip.ErrMissingRequiredFields{}, &tcpip.ErrMulticastInputCannotBeOutput{}, &tcpip.ErrUnknownProtocol{}},
	unix.EISCONN:       {&tcpip.ErrAlreadyConnected{}},
	unix.EALREADY:      {&tcpip.ErrAlreadyConnecting{}},
	unix.EFAULT:        {&tcpip.ErrBadAddress{}, &tcpip.ErrBadBuffer{}},
	unix.EADDRNOTAVAIL: {&tcpip.ErrBadLocalAddress{}},
	unix.EACCES:        {&tcpip.ErrBroadcastDisabled{}},
	unix.EINPROGRESS:   {&tcpip.ErrConnectStarted{}},
	unix.ECONNABORTED:  {&tcpip.ErrConnectionAborted{}},
	unix.ECONNREFUSED:  {&tcpip.ErrConnectionRefused{}},
	unix.ECONNRESET:    {&tcpip.ErrConnectionReset{}},
	unix.EDESTADDRREQ:  {&tcpip.ErrDestinationRequired{}},
	unix.EEXIST:        {&tcpip.ErrDuplicateAddress{}, &tcpip.ErrDuplicateNICID{}},
	unix.EHOSTDOWN:     {&tcpip.ErrHostDown{}},
	unix.EHOSTUNREACH:  {&tcpip.ErrHostUnreachable{}},
	unix.ENODEV:        {&tcpip.ErrInvalidNICID{}, &tcpip.ErrUnknownDevice{}, &tcpip.ErrUnknownNICID{}},
	unix.EMSGSIZE:      {&tcpip.ErrMessageTooLong{}},
	unix.ENETUNREACH:   {&tcpip.ErrNetworkUnreachable{}},
	unix.ENOBUFS:       {&tcpip.ErrNoBufferSpace{}},
	unix.ENONET:        {&tcpip.ErrNoNet{}},
	unix.EAGAIN:        {&tcpip.ErrNoPortAvailable{}, &tcpip.ErrWouldBlock{}},
	unix.ENOENT:        {&tcpip.ErrNoSuchFile{}},
	unix.ENOTCONN:      {&tcpip.ErrClosedForReceive{}, &tcpip.ErrNotConnected{}},
	unix.EPERM:         {&tcpip.ErrNotPermitted{}},
	unix.EOPNOTSUPP:    {&tcpip.ErrNotSupported{}},
	unix.EADDRINUSE:    {&tcpip.ErrPortInUse{}},
	unix.ENOTTY:        {&tcpip.ErrQueueSizeNotSupported{}},
	unix.ETIMEDOUT:     {&tcpip.ErrTimeout{}},
	unix.ENOPROTOOPT:   {&tcpip.ErrUnknownProtocolOption{}},
	unix.EBUSY:         {&tcpip.ErrEndpointBusy{}},
})

func byType(lists map[unix.Errno][]tcpip.Error) map[reflect.Type]unix.Errno {
	m := make(map[reflect.Type]unix.Errno)
	for errno, errs := range lists {
		for _, err := range errs {
			m[reflect.TypeOf(err)] = errno
		}
	}
	return m
}

// Errno is Linux's number for an error of the stack, 0 for nil, EIO for one
// that no system call should meet.
func Errno(err tcpip.Error) unix.Errno {
	if err == nil {
		return 0
	}
	if errno, ok := errnos[reflect.TypeOf(err)]; ok {
		return errno
	}
	return unix.EIO
}
