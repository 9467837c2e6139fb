package netfault

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"
	manet "github.com/multiformats/go-multiaddr/net"
)

// wakeTimeout bounds how long closing a silenced listener tries to keep its
// socket.
const wakeTimeout = 200 * time.Millisecond

// upgrader puts the raw connections of stream transports under a switch before
// anything is negotiated on them. Connections of proxy transports (relays) run
// over connections that already are.
type upgrader struct {
	transport.Upgrader
	sw *Switch
}

func (u *upgrader) UpgradeListener(t transport.Transport, l manet.Listener) transport.Listener {
	return u.UpgradeGatedMaListener(t, u.GateMaListener(l))
}

func (u *upgrader) UpgradeGatedMaListener(t transport.Transport, l transport.GatedMaListener) transport.Listener {
	if !t.Proxy() {
		l = &listener{GatedMaListener: l, sw: u.sw, woken: make(chan struct{})}
	}
	return u.Upgrader.UpgradeGatedMaListener(t, l)
}

// Upgrade of an inbound connection finds it wrapped by its listener.
func (u *upgrader) Upgrade(ctx context.Context, t transport.Transport, c manet.Conn, dir network.Direction, p peer.ID, scope network.ConnManagementScope) (transport.CapableConn, error) {
	if _, wrapped := c.(*conn); wrapped || t.Proxy() {
		return u.Upgrader.Upgrade(ctx, t, c, dir, p, scope)
	}
	if u.sw.Silenced() {
		_ = c.Close() // made after the cut: its peer knows nobody to miss
		<-ctx.Done()
		scope.Done()
		return nil, ctx.Err()
	}
	return u.Upgrader.Upgrade(ctx, t, newConn(u.sw, c), dir, p, scope)
}

// listener accepts connections under a switch, and none once it is thrown.
type listener struct {
	transport.GatedMaListener
	sw *Switch

	closing   atomic.Bool
	closeOnce sync.Once
	closeErr  error
	wakeOnce  sync.Once
	woken     chan struct{} // closed when Accept has seen closing
}

func (l *listener) Accept() (manet.Conn, network.ConnManagementScope, error) {
	for !l.closing.Load() {
		c, scope, err := l.GatedMaListener.Accept()
		if err != nil {
			return nil, nil, err
		}
		if !l.sw.Silenced() {
			return newConn(l.sw, c), scope, nil
		}
		scope.Done()
		if !l.sw.park(c) {
			_ = c.Close()
		}
	}
	l.wakeOnce.Do(func() { close(l.woken) })
	return nil, nil, net.ErrClosed
}

// Close closes the socket unless the switch is thrown: then dials must go on
// finding it, so Accept is woken by a dial of our own and the socket is parked.
func (l *listener) Close() error {
	l.closeOnce.Do(func() {
		l.closing.Store(true)
		if l.sw.Silenced() && l.wake() && l.sw.park(l.GatedMaListener) {
			return
		}
		l.closeErr = l.GatedMaListener.Close()
	})
	return l.closeErr
}

// wake makes Accept return, and reports whether it did in time.
func (l *listener) wake() bool {
	c, err := net.DialTimeout(l.Addr().Network(), l.Addr().String(), wakeTimeout)
	if err != nil {
		return false
	}
	defer c.Close()
	timeout := time.NewTimer(wakeTimeout)
	defer timeout.Stop()
	select {
	case <-l.woken:
		return true
	case <-timeout.C:
		return false
	}
}

// conn is a stream connection under a switch. Once that is thrown, reads block
// until a deadline or Close, and writes succeed without being sent.
type conn struct {
	manet.Conn
	sw   *Switch
	void net.Conn // has nobody at its other end; reads move to it

	closed    atomic.Bool
	closeOnce sync.Once
	closeErr  error
}

func newConn(sw *Switch, live manet.Conn) *conn {
	void, _ := net.Pipe()
	c := &conn{Conn: live, sw: sw, void: void}
	sw.add(c)
	c.interruptIfSilenced()
	return c
}

func (c *conn) Read(p []byte) (int, error) {
	if !c.sw.Silenced() {
		n, err := c.Conn.Read(p)
		if !c.sw.Silenced() {
			return n, err
		}
	}
	return c.void.Read(p)
}

func (c *conn) Write(p []byte) (int, error) {
	if !c.sw.Silenced() {
		n, err := c.Conn.Write(p)
		if !c.sw.Silenced() {
			return n, err
		}
	}
	if c.closed.Load() {
		return 0, net.ErrClosed
	}
	return len(p), nil
}

func (c *conn) Close() error {
	c.closeOnce.Do(func() {
		c.closed.Store(true)
		_ = c.void.Close()
		if !c.sw.release(c) {
			c.closeErr = c.Conn.Close()
		}
	})
	return c.closeErr
}

func (c *conn) SetDeadline(t time.Time) error {
	_ = c.void.SetDeadline(t)
	return c.setLive(c.Conn.SetDeadline(t))
}

func (c *conn) SetReadDeadline(t time.Time) error {
	_ = c.void.SetReadDeadline(t)
	return c.setLive(c.Conn.SetReadDeadline(t))
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	return c.setLive(c.Conn.SetWriteDeadline(t))
}

// setLive completes the setting of a deadline on the live connection, where
// Silence may have set its own in the meantime, and returns err.
func (c *conn) setLive(err error) error {
	c.interruptIfSilenced()
	return err
}

// interruptIfSilenced ends calls on the live connection after Silence.
func (c *conn) interruptIfSilenced() {
	if c.sw.Silenced() {
		_ = c.Conn.SetDeadline(past)
	}
}
