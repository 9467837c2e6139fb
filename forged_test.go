package pastry_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"google.golang.org/protobuf/proto"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/testutil"
)

// route is a message to a node as the host sends it: signed, one link crossed.
func route(t testing.TB, from host.Host, to *pastry.Node, app string, id byte) *pb.Packet {
	t.Helper()
	p, err := pastry.SignedRoute(from.Peerstore().PrivKey(from.ID()), &pastry.Packet{
		Seq: uint64(id), State: pastry.StateActive, Hops: 1, TTL: 10 * time.Second,
		Msg: &pastry.Routed{ID: pastry.MessageID{id}, App: app, Key: to.ID(), Payload: []byte("pay ten")}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// answer reads until the answer to the message comes.
func (w *wire) answer(id byte, limit time.Duration) *pb.Answer {
	w.t.Helper()
	stop := time.AfterFunc(limit, func() { _ = w.s.Reset() })
	defer stop.Stop()
	for {
		f, err := w.read()
		if err != nil {
			w.t.Fatalf("no answer to message %d: %v", id, err)
		}
		if a := f.GetPacket().GetAnswer(); a != nil && a.Id[0] == id {
			return a
		}
	}
}

// A message that its origin did not send is not delivered, whatever about it was
// forged, and whoever sent it is told.
func TestForgedMessage(t *testing.T) {
	tests := []struct {
		name  string
		forge func(p *pb.Packet, other host.Host)
	}{
		{"payload", func(p *pb.Packet, _ host.Host) { p.Msg.Payload = []byte("pay all") }},
		{"origin", func(p *pb.Packet, other host.Host) { p.Msg.Origin = []byte(other.ID()) }},
		{"no signature", func(p *pb.Packet, _ host.Host) { p.Msg.Auth = nil }},
		{"no signature, one hop", func(p *pb.Packet, _ host.Host) { p.Msg.Auth, p.Hops, p.Path = nil, 1, nil }},
		{"garbage for a signature", func(p *pb.Packet, _ host.Host) { p.Msg.Auth = []byte{1, 2, 3} }},
		{"changed and not signed", func(p *pb.Packet, other host.Host) {
			var auth pb.OriginAuth
			_ = proto.Unmarshal(p.Msg.Auth, &auth)
			auth.OriginalPayload = p.Msg.Payload
			auth.Changes = []*pb.Change{{Peer: []byte(other.ID()), Signature: auth.Signature}}
			p.Msg.Payload = []byte("pay all")
			p.Msg.Auth, _ = proto.Marshal(&auth)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var m metered
			cfg := seeded(81, 3)
			cfg.Options = func(i int) []pastry.Option { return []pastry.Option{m.option(i)} }
			withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
				var delivered atomic.Int64
				register(t, c, "bank", func(int) pastry.Application {
					return program{deliver: func(context.Context, *pastry.Message) ([]byte, error) {
						delivered.Add(1)
						return nil, nil
					}}
				})
				stranger, err := c.Network().NewHost()
				if err != nil {
					t.Fatal(err)
				}
				faults := subscribe[pastry.EvtError](t, c.Node(0).Host())
				w := dialWire(t, stranger, c.Node(0))
				w.greet()
				// The stranger passes on what node 1 signed, or not quite that.
				honest := route(t, c.Node(1).Host(), c.Node(0), "bank", 1)
				honest.Hops, honest.Path = 2, [][]byte{[]byte(stranger.ID())}
				forged := proto.CloneOf(honest)
				tt.forge(forged, c.Node(2).Host())
				if err := w.send(packetFrame(forged)); err != nil {
					t.Fatal(err)
				}
				if got := w.answer(1, 5*time.Second); got.Code != pb.Code_CODE_FORGED {
					t.Errorf("the sender was told %v, want %v", got.Code, pb.Code_CODE_FORGED)
				}
				if got := delivered.Load(); got != 0 {
					t.Errorf("the application was given the forged message %d times", got)
				}
				if got := m.drops(t, 0, pastry.DropForged); got != 1 {
					t.Errorf("%v drops counted as forged, want 1", got)
				}
				if ev := next[pastry.EvtError](t, faults, time.Second); !errors.Is(ev.Err, pastry.ErrForged) {
					t.Errorf("event: got %v, want %v", ev.Err, pastry.ErrForged)
				}

				// The forged message does not stand in the way of the true one.
				if err := w.send(packetFrame(honest)); err != nil {
					t.Fatal(err)
				}
				if got := w.answer(1, 5*time.Second); got.Code != pb.Code_CODE_OK || delivered.Load() != 1 {
					t.Errorf("the true message: told %v, delivered %d times, want %v, once", got.Code, delivered.Load(), pb.Code_CODE_OK)
				}
				checkRoots(t, c, 10)
			})
		})
	}
}
