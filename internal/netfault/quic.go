package netfault

import (
	"net"
	"syscall"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/quic-go/quic-go"
	"go.uber.org/fx"
)

// QUIC makes a host's QUIC transport take its sockets from listen instead of
// the operating system. opts are added to that. Go-libp2p closes only a
// connection manager it built itself, so that is done here, with the host.
func QUIC(listen func(network string, laddr *net.UDPAddr) (net.PacketConn, error), opts ...quicreuse.Option) libp2p.Option {
	build := func(lc fx.Lifecycle, reset quic.StatelessResetKey, token quic.TokenGeneratorKey, opts ...quicreuse.Option) (*quicreuse.ConnManager, error) {
		cm, err := quicreuse.NewConnManager(reset, token, opts...)
		if err != nil {
			return nil, err
		}
		lc.Append(fx.StopHook(cm.Close))
		return cm, nil
	}
	all := append([]quicreuse.Option{quicreuse.OverrideListenUDP(listen)}, opts...)
	return libp2p.QUICReuse(build, all...)
}

func (s *Switch) listenUDP(network string, laddr *net.UDPAddr) (net.PacketConn, error) {
	udp, err := net.ListenUDP(network, laddr)
	if err != nil {
		return nil, err
	}
	return &packetConn{PacketConn: udp, udp: udp, sw: s}, nil
}

// packetConn is a UDP socket under a switch. Its methods are those quic-go
// needs for buffer sizes and path MTU discovery, without the ones by which it
// would read batches past ReadFrom.
//
// Closing it is no sign to a peer: QUIC sockets are not connected, so they
// ignore the port-unreachable messages that follow.
type packetConn struct {
	net.PacketConn
	udp *net.UDPConn
	sw  *Switch
}

func (c *packetConn) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, from, err := c.udp.ReadFrom(p)
		if err != nil || !c.sw.Silenced() {
			return n, from, err
		}
	}
}

func (c *packetConn) WriteTo(p []byte, to net.Addr) (int, error) {
	if c.sw.Silenced() {
		return len(p), nil
	}
	return c.udp.WriteTo(p, to)
}

func (c *packetConn) SetReadBuffer(bytes int) error  { return c.udp.SetReadBuffer(bytes) }
func (c *packetConn) SetWriteBuffer(bytes int) error { return c.udp.SetWriteBuffer(bytes) }

func (c *packetConn) SyscallConn() (syscall.RawConn, error) { return c.udp.SyscallConn() }
