package socket

import (
	"io"
	"sync"

	"ringfort/sentry/usermem"
)

// Carrier moves bytes between an endpoint and application memory. It is
// pooled: it would escape to the heap for every read and write otherwise.
type Carrier struct {
	seq usermem.Seq
	// Discard throws away what is received (MSG_TRUNC of TCP).
	Discard bool
}

var carriers = sync.Pool{New: func() any { return new(Carrier) }}

// NewCarrier returns a Carrier for seq; Free it.
func NewCarrier(seq usermem.Seq) *Carrier {
	k := carriers.Get().(*Carrier)
	k.seq = seq
	return k
}

// Free gives k back; it must not be used after.
func (k *Carrier) Free() {
	*k = Carrier{}
	carriers.Put(k)
}

// Write puts received bytes into application memory: tcpip reads into it.
func (k *Carrier) Write(p []byte) (int, error) {
	room := k.seq.Len()
	n := min(len(p), room)
	var err error
	if n > 0 && !k.Discard {
		n, err = k.seq.CopyOut(p[:n])
	}
	k.seq = k.seq.Drop(n)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return n, err
}

// Read takes bytes to send out of application memory: tcpip writes from it.
func (k *Carrier) Read(p []byte) (int, error) {
	n, err := k.seq.CopyIn(p)
	k.seq = k.seq.Drop(n)
	if err == nil && n < len(p) && k.seq.Len() == 0 {
		err = io.EOF
	}
	return n, err
}

// Len is what is left to send.
func (k *Carrier) Len() int { return k.seq.Len() }
