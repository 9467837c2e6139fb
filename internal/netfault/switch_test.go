package netfault_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/secondbit/pastry/internal/netfault"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	echoProtocol = "/netfault/echo"
	tcpAddr      = "/ip4/127.0.0.1/tcp/0"
	quicAddr     = "/ip4/127.0.0.1/udp/0/quic-v1"

	// closeLimit is how long closing a host may take before a test calls it hung.
	closeLimit = 5 * time.Second
	// silence is how long a test listens to a silenced host.
	silence = 500 * time.Millisecond
)

var addrs = []struct{ name, addr string }{{"TCP", tcpAddr}, {"QUIC", quicAddr}}

// newHost returns a host that echoes streams and is closed with the test.
func newHost(t *testing.T, addr string, opts ...libp2p.Option) host.Host {
	t.Helper()
	base := []libp2p.Option{libp2p.ListenAddrStrings(addr), libp2p.DisableMetrics(), libp2p.DisableRelay()}
	h, err := libp2p.New(append(base, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeHost(t, h) })
	h.SetStreamHandler(echoProtocol, func(s network.Stream) {
		defer s.Close()
		_, _ = io.Copy(s, s)
	})
	return h
}

// closeHost closes h and fails the test if that takes too long.
func closeHost(t *testing.T, h host.Host) {
	t.Helper()
	start := time.Now()
	if err := h.Close(); err != nil {
		t.Errorf("closing a host: %v", err)
	}
	if got := time.Since(start); got > closeLimit {
		t.Errorf("closing a host took %v, want at most %v", got, closeLimit)
	}
}

// newSilenceable returns a host under the switch that comes with it.
func newSilenceable(t *testing.T, addr string) (host.Host, *netfault.Switch) {
	t.Helper()
	sw := new(netfault.Switch)
	t.Cleanup(func() {
		if err := sw.Close(); err != nil {
			t.Errorf("closing a switch: %v", err)
		}
	})
	return newHost(t, addr, sw.Options()...), sw
}

func addrInfo(h host.Host) peer.AddrInfo { return peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()} }

// connect dials to from from and returns an echo stream that works.
func connect(t *testing.T, from, to host.Host) network.Stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), closeLimit)
	defer cancel()
	if err := from.Connect(ctx, addrInfo(to)); err != nil {
		t.Fatal(err)
	}
	s, err := from.NewStream(ctx, to.ID(), echoProtocol)
	if err != nil {
		t.Fatal(err)
	}
	if err := echo(s, closeLimit); err != nil {
		t.Fatalf("echo between hosts in order: %v", err)
	}
	return s
}

// echo sends a few bytes over s and waits at most limit for them to return.
func echo(s network.Stream, limit time.Duration) error {
	if err := s.SetDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	if _, err := s.Write([]byte("ping")); err != nil {
		return err
	}
	_, err := io.ReadFull(s, make([]byte, 4))
	return err
}

// wantHang fails the test unless the peer behind s is silent but not gone.
func wantHang(t *testing.T, h host.Host, s network.Stream) {
	t.Helper()
	if err := echo(s, silence); !isTimeout(err) {
		t.Errorf("echo from a silenced host: got %v, want a timeout", err)
	}
	if got := h.Network().Connectedness(s.Conn().RemotePeer()); got != network.Connected {
		t.Errorf("connectedness to a silenced host: got %v, want %v", got, network.Connected)
	}
	if s.Conn().IsClosed() {
		t.Error("the connection to a silenced host was closed")
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// wantNoDial fails the test unless dials of info hang.
func wantNoDial(t *testing.T, info peer.AddrInfo, addr string) {
	t.Helper()
	stranger := newHost(t, addr)
	ctx, cancel := context.WithTimeout(t.Context(), silence)
	defer cancel()
	err := stranger.Connect(ctx, info)
	if err == nil {
		t.Fatal("a silenced host completed a dial")
	}
	if ctx.Err() == nil {
		t.Errorf("a dial of a silenced host failed before its time: %v", err)
	}
}

func TestSilence(t *testing.T) {
	for _, tt := range addrs {
		t.Run(tt.name+"/dialled", func(t *testing.T) {
			a := newHost(t, tt.addr)
			b, sw := newSilenceable(t, tt.addr)
			s := connect(t, a, b)
			if sw.Silenced() {
				t.Fatal("silenced before Silence")
			}
			sw.Silence()
			if !sw.Silenced() {
				t.Fatal("not silenced after Silence")
			}
			wantHang(t, a, s)
			wantNoDial(t, addrInfo(b), tt.addr)
		})
		t.Run(tt.name+"/dialler", func(t *testing.T) {
			a := newHost(t, tt.addr)
			b, sw := newSilenceable(t, tt.addr)
			connect(t, b, a)
			s, err := a.NewStream(t.Context(), b.ID(), echoProtocol)
			if err != nil {
				t.Fatal(err)
			}
			if err := echo(s, closeLimit); err != nil {
				t.Fatal(err)
			}
			sw.Silence()
			wantHang(t, a, s)
		})
	}
}

// A host that is closed after it was silenced still tells nobody.
func TestCloseAfterSilence(t *testing.T) {
	for _, tt := range addrs {
		t.Run(tt.name, func(t *testing.T) {
			a := newHost(t, tt.addr)
			b, sw := newSilenceable(t, tt.addr)
			s, info := connect(t, a, b), addrInfo(b)
			sw.Silence()
			closeHost(t, b)
			wantHang(t, a, s)
			wantNoDial(t, info, tt.addr)
		})
	}
}

// A silenced host reaches nobody and hears nobody.
func TestSilencedHostIsCutOff(t *testing.T) {
	for _, tt := range addrs {
		t.Run(tt.name, func(t *testing.T) {
			a, c := newHost(t, tt.addr), newHost(t, tt.addr)
			b, sw := newSilenceable(t, tt.addr)
			s := connect(t, b, a)
			sw.Silence()
			wantHang(t, b, s)

			ctx, cancel := context.WithTimeout(t.Context(), silence)
			defer cancel()
			if err := b.Connect(ctx, addrInfo(c)); err == nil {
				t.Error("a silenced host dialled another")
			}
			if got := c.Network().Connectedness(b.ID()); got != network.NotConnected {
				t.Errorf("connectedness to a silenced dialler: got %v, want %v", got, network.NotConnected)
			}
		})
	}
}

// What is sent to a silenced host does not reach its stream handlers.
func TestSilencedHostReadsNothing(t *testing.T) {
	for _, tt := range addrs {
		t.Run(tt.name, func(t *testing.T) {
			a := newHost(t, tt.addr)
			b, sw := newSilenceable(t, tt.addr)
			connect(t, a, b)
			received := make(chan byte, 1)
			b.SetStreamHandler(echoProtocol, func(s network.Stream) {
				defer s.Close()
				for p := make([]byte, 1); ; received <- p[0] {
					if _, err := s.Read(p); err != nil {
						return
					}
				}
			})
			s, err := a.NewStream(t.Context(), b.ID(), echoProtocol)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Write([]byte{1}); err != nil {
				t.Fatal(err)
			}
			if got := <-received; got != 1 {
				t.Fatalf("received %d, want 1", got)
			}
			sw.Silence()
			if _, err := s.Write([]byte{2}); err != nil {
				t.Fatal(err)
			}
			select {
			case got := <-received:
				t.Errorf("a silenced host received %d", got)
			case <-time.After(silence):
			}
		})
	}
}

// Closing the switch frees what closed hosts left: the peer hears of it.
func TestSwitchCloseFreesSockets(t *testing.T) {
	a := newHost(t, tcpAddr)
	b, sw := newSilenceable(t, tcpAddr)
	s, info := connect(t, a, b), addrInfo(b)
	sw.Silence()
	closeHost(t, b)
	for range 2 {
		if err := sw.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SetReadDeadline(time.Now().Add(closeLimit)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("reading from a host whose sockets were closed: got %v, want a reset", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), closeLimit)
	defer cancel()
	if err := newHost(t, tcpAddr).Connect(ctx, info); err == nil || ctx.Err() != nil {
		t.Errorf("dialling a host whose sockets were closed: got %v, want a refusal", err)
	}
}

// Without a call of Silence the switch changes nothing: a peer hears of Close.
func TestCloseWithoutSilence(t *testing.T) {
	for _, tt := range addrs {
		t.Run(tt.name, func(t *testing.T) {
			a := newHost(t, tt.addr)
			b, _ := newSilenceable(t, tt.addr)
			s := connect(t, a, b)
			closeHost(t, b)
			if err := s.SetReadDeadline(time.Now().Add(closeLimit)); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Read(make([]byte, 1)); err == nil || isTimeout(err) {
				t.Errorf("reading from a closed host: got %v, want that it is gone", err)
			}
		})
	}
}
