package netstack

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
)

// dnsPort is the port of name servers.
const dnsPort = 53

const (
	maxQueries  = 1024             // under way at once; what is beyond is dropped, as a busy server does
	queryTime   = 15 * time.Second // after which an answer is not waited for any more
	maxDNS      = 65535            // bytes of a message
	dnsHeader   = 12               // bytes of its header (RFC 1035 section 4.1.1)
	maxDNSConns = 64               // TCP connections at once
	maxAnswers  = 16               // of a TCP connection whose asker does not read; what is beyond is dropped
)

// resolver forwards DNS queries of the sandbox to a name server that listens on a loopback address of the host's side of
// the namespace, as Docker's on 127.0.0.11 does: the sandbox has a loopback of its own, so that nobody else would.
//
// It answers on ports of its own, never on 53: that stays free for a name server in the sandbox, as it is natively.
// ResolverPort says where a query to port 53 has to go.
type resolver struct {
	addr     netip.Addr
	host     *os.File // a UDP socket of the host, connected to the name server
	udp      *gonet.UDPConn
	tcp      *gonet.TCPListener
	udpPort  uint16
	tcpPort  uint16
	tcpConns chan struct{}

	// mu guards what follows; it is a leaf.
	mu      sync.Mutex
	queries map[uint16]query // by the identifier they were given on the way to the host
	next    uint16
}

// A query is one that waits for its answer.
type query struct {
	id     uint16 // that of the asker
	since  time.Time
	answer func([]byte)
}

// startResolver starts to forward what is asked of addr to host, which it owns from then on.
func (s *Stack) startResolver(addr netip.Addr, host *os.File) error {
	r := &resolver{addr: addr, host: host, queries: map[uint16]query{}, tcpConns: make(chan struct{}, maxDNSConns)}
	at := tcpip.FullAddress{Addr: ToTCPIP(addr)}
	var err error
	if r.udp, err = gonet.DialUDP(s.inner, &at, nil, ipv4.ProtocolNumber); err != nil {
		return fmt.Errorf("resolver: %w", err)
	}
	if r.tcp, err = gonet.ListenTCP(s.inner, at, ipv4.ProtocolNumber); err != nil {
		r.udp.Close()
		return fmt.Errorf("resolver: %w", err)
	}
	r.udpPort = uint16(r.udp.LocalAddr().(*net.UDPAddr).Port)
	r.tcpPort = uint16(r.tcp.Addr().(*net.TCPAddr).Port)
	s.resolver.Store(r)
	go r.fromHost()
	go r.serveUDP()
	go r.serveTCP()
	return nil
}

// close ends it; the stack has been destroyed or is going to be.
func (r *resolver) close() {
	r.udp.Close()
	r.tcp.Close()
	r.host.Close()
}

// ResolverPort returns where the stack has what is sent to port 53 of addr, port 0 if that is nothing special.
func (s *Stack) ResolverPort(stream bool, addr tcpip.FullAddress) uint16 {
	r := s.resolver.Load()
	if r == nil || addr.Port != dnsPort || FromTCPIP(addr.Addr).Unmap() != r.addr {
		return 0
	}
	if stream {
		return r.tcpPort
	}
	return r.udpPort
}

// IsResolver tells whether an address is what ResolverPort has led to.
func (s *Stack) IsResolver(stream bool, addr tcpip.FullAddress) bool {
	r := s.resolver.Load()
	if r == nil || FromTCPIP(addr.Addr).Unmap() != r.addr {
		return false
	}
	return stream && addr.Port == r.tcpPort || !stream && addr.Port == r.udpPort
}

// ask sends a query to the host under an identifier that nobody else uses.
func (r *resolver) ask(msg []byte, answer func([]byte)) {
	if len(msg) < dnsHeader {
		return
	}
	r.mu.Lock()
	if len(r.queries) >= maxQueries && !r.expire() {
		r.mu.Unlock()
		return
	}
	for {
		if _, used := r.queries[r.next]; !used {
			break
		}
		r.next++
	}
	id := r.next
	r.next++
	r.queries[id] = query{binary.BigEndian.Uint16(msg), time.Now(), answer}
	r.mu.Unlock()
	out := append([]byte(nil), msg...)
	binary.BigEndian.PutUint16(out, id)
	// An error is that of an earlier packet, or of a server that is not there: the asker asks again.
	if _, err := r.host.Write(out); err != nil {
		r.host.Write(out)
	}
}

// expire forgets the queries that got no answer. r.mu is held.
func (r *resolver) expire() bool {
	for id, q := range r.queries {
		if time.Since(q.since) > queryTime {
			delete(r.queries, id)
		}
	}
	return len(r.queries) < maxQueries
}

// fromHost hands answers out.
func (r *resolver) fromHost() {
	buf := make([]byte, maxDNS)
	for {
		n, err := r.host.Read(buf)
		if err != nil {
			if isClosed(err) {
				return
			}
			continue // ECONNREFUSED: the server was away; each such error is told once
		}
		if n < dnsHeader {
			continue
		}
		id := binary.BigEndian.Uint16(buf)
		r.mu.Lock()
		q, ok := r.queries[id]
		delete(r.queries, id)
		r.mu.Unlock()
		if !ok {
			continue
		}
		msg := append([]byte(nil), buf[:n]...)
		binary.BigEndian.PutUint16(msg, q.id)
		q.answer(msg)
	}
}

func (r *resolver) serveUDP() {
	buf := make([]byte, maxDNS)
	for {
		n, from, err := r.udp.ReadFrom(buf)
		if err != nil {
			return
		}
		r.ask(buf[:n], func(msg []byte) { r.udp.WriteTo(msg, from) })
	}
}

func (r *resolver) serveTCP() {
	for {
		c, err := r.tcp.Accept()
		if err != nil {
			return
		}
		select {
		case r.tcpConns <- struct{}{}:
			go func() {
				r.serveConn(c)
				<-r.tcpConns
			}()
		default:
			c.Close()
		}
	}
}

// serveConn answers the queries of one TCP connection (RFC 1035 section 4.2.2). They go to the host by UDP with as much
// room for the answer as TCP would have: a packet over loopback has no other limit.
func (r *resolver) serveConn(c net.Conn) {
	defer c.Close()
	answers := make(chan []byte, maxAnswers)
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case msg := <-answers:
				c.SetWriteDeadline(time.Now().Add(queryTime))
				c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...))
			case <-done:
				return
			}
		}
	}()
	for {
		c.SetReadDeadline(time.Now().Add(queryTime))
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		msg := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, msg); err != nil {
			return
		}
		r.ask(withRoom(msg), func(msg []byte) {
			select {
			case answers <- msg:
			default: // nobody else's answers shall wait for this asker
			}
		})
	}
}

// withRoom says in a query that an answer of any size is welcome: EDNS(0), RFC 6891 section 6.1.2.
func withRoom(msg []byte) []byte {
	const typeOPT = 41
	if len(msg) < dnsHeader || binary.BigEndian.Uint16(msg[4:]) != 1 || binary.BigEndian.Uint32(msg[6:]) != 0 {
		return msg // not one question alone
	}
	at := dnsHeader
	for at < len(msg) && msg[at] != 0 {
		if msg[at] >= 0xc0 {
			return msg
		}
		at += 1 + int(msg[at])
	}
	at += 1 + 4 // the root label, type and class
	switch more := binary.BigEndian.Uint16(msg[10:]); {
	case more == 0 && at == len(msg):
		binary.BigEndian.PutUint16(msg[10:], 1)
		return append(msg, 0, 0, typeOPT, 0xff, 0xff, 0, 0, 0, 0, 0, 0)
	case more == 1 && at+11 <= len(msg) && msg[at] == 0 && binary.BigEndian.Uint16(msg[at+1:]) == typeOPT:
		binary.BigEndian.PutUint16(msg[at+3:], maxDNS)
	}
	return msg
}
