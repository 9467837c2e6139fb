// Package netfault breaks networks for tests and demonstrations. A [Switch]
// makes libp2p hosts on real sockets fall silent, as if their machine had lost
// power: their peers hear nothing more, not even that connections end. [Cuts]
// says who is cut off from whom in a simulated network.
package netfault

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/transport"
	"go.uber.org/fx"
)

// past is a deadline that makes socket calls return at once, those already
// blocked included.
var past = time.Unix(1, 0)

// A Switch silences the hosts that were built with its Options. Its zero value
// is ready for use and its methods may be called at any time from any goroutine.
//
// It works above the kernel, which still completes TCP handshakes and
// acknowledges segments for a silenced host: a peer's dial stops at the first
// byte it waits for, and what it writes is lost without an error. Bytes that
// the kernel had accepted before Silence may still arrive.
type Switch struct {
	silenced atomic.Bool // written with mu held

	mu     sync.Mutex
	conns  map[*conn]struct{} // open TCP connections
	parked []io.Closer
	closed bool
}

// Options returns what libp2p.New needs for the switch to rule over a host's
// TCP and QUIC sockets. They leave the choice of transports, security and
// muxers alone, and exclude only libp2p.QUICReuse.
func (s *Switch) Options() []libp2p.Option {
	decorate := func(u transport.Upgrader) transport.Upgrader {
		return &upgrader{Upgrader: u, sw: s}
	}
	return []libp2p.Option{
		libp2p.WithFxOption(fx.Decorate(decorate)),
		QUIC(s.listenUDP),
	}
}

// Silence cuts the hosts off, for good. From its return on nothing they write
// is sent, nothing sent to them is read, and no connection of theirs is closed
// towards the peer, even when the host itself gives it up or is closed.
func (s *Switch) Silence() {
	for _, c := range s.cut() {
		_ = c.Conn.SetDeadline(past) // fails only on a closed connection
	}
}

// cut throws the switch and returns the connections to interrupt.
func (s *Switch) cut() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silenced.Store(true)
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	return conns
}

// Silenced reports whether Silence was called.
func (s *Switch) Silenced() bool { return s.silenced.Load() }

// Close closes the sockets that silenced hosts gave up and that were kept open
// for their peers' sake, each of which holds a file descriptor. Peers may see
// resets. Call it after closing the hosts; further calls do nothing.
func (s *Switch) Close() error {
	s.mu.Lock()
	s.closed = true
	parked := s.parked
	s.parked = nil
	s.mu.Unlock()

	var errs []error
	for _, c := range parked {
		if err := c.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// park takes over a socket whose closing must not reach the peer. It reports
// false, and takes nothing, if the hosts are not silenced or s is closed.
func (s *Switch) park(socket io.Closer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.parkLocked(socket)
}

func (s *Switch) parkLocked(socket io.Closer) bool {
	if !s.silenced.Load() || s.closed {
		return false
	}
	s.parked = append(s.parked, socket)
	return true
}

// add puts c under the switch.
func (s *Switch) add(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		s.conns = make(map[*conn]struct{})
	}
	s.conns[c] = struct{}{}
}

// release undoes add and parks the live connection below c, as park does. It is
// one step, so that Silence has interrupted every connection that is parked.
func (s *Switch) release(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	return s.parkLocked(c.Conn)
}
