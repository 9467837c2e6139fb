package pastry_test

import (
	"bufio"
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
	"github.com/secondbit/pastry/testutil"
)

// handshakeLimit is a little more than a handshake may take.
const handshakeLimit = 11 * time.Second

// wire is a stream to a node, on which a test says what it likes.
type wire struct {
	t    testing.TB
	host host.Host
	s    network.Stream
	r    *bufio.Reader
}

// dialWire opens a stream to a node from a host without one.
func dialWire(t testing.TB, from host.Host, to *pastry.Node) *wire {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := from.Connect(ctx, addrInfo(to.Host())); err != nil {
		t.Fatal(err)
	}
	s, err := from.NewStream(ctx, to.Host().ID(), pastry.ProtocolID)
	if err != nil {
		t.Fatal(err)
	}
	return &wire{t: t, host: from, s: s, r: bufio.NewReader(s)}
}

// send writes frames; that the node has gone away is no failure.
func (w *wire) send(frames ...*pb.Frame) error {
	for _, f := range frames {
		if _, err := protodelim.MarshalTo(w.s, f); err != nil {
			return err
		}
	}
	return nil
}

func (w *wire) bytes(b ...byte) { _, _ = w.s.Write(b) }

// read returns the next frame.
func (w *wire) read() (*pb.Frame, error) {
	f := new(pb.Frame)
	return f, protodelim.UnmarshalFrom(w.r, f)
}

// refused reads until the node closes the stream, at most for limit, and returns
// how long that took.
func (w *wire) refused(limit time.Duration) time.Duration {
	w.t.Helper()
	start := time.Now()
	stop := time.AfterFunc(limit, func() { _ = w.s.Reset() })
	for {
		if _, err := w.read(); err != nil {
			break
		}
	}
	if !stop.Stop() {
		w.t.Errorf("the node did not close the stream within %v", limit)
	}
	return time.Since(start)
}

// greet exchanges hellos.
func (w *wire) greet() *pb.Hello {
	w.t.Helper()
	if err := w.send(helloFrame(w.host)); err != nil {
		w.t.Fatal(err)
	}
	f, err := w.read()
	if err != nil || f.GetHello() == nil {
		w.t.Fatalf("instead of a hello: %v, %v", f, err)
	}
	return f.GetHello()
}

// helloFrame is what an active node on h could say first.
func helloFrame(h host.Host) *pb.Frame {
	challenge := make([]byte, 32)
	_, _ = crand.Read(challenge)
	return &pb.Frame{Body: &pb.Frame_Hello{Hello: &pb.Hello{Version: 1, Challenge: challenge, DigitBits: 4, LeafSetSize: 24,
		Contact: &pb.Contact{Peer: []byte(h.ID()), Epoch: 1}}}}
}

func packetFrame(p *pb.Packet) *pb.Frame { return &pb.Frame{Body: &pb.Frame_Packet{Packet: p}} }

func proofFrame(b []byte) *pb.Frame {
	return &pb.Frame{Body: &pb.Frame_Proof{Proof: &pb.Proof{Proof: b}}}
}

// badInput is a test of what one stranger does to a node.
type badInput struct {
	name string
	do   func(w *wire, victim host.Host)
	drop pastry.Drop // counted
	none bool        // nothing is counted
	late bool        // the node waits for the end of the handshake's time
}

func badInputs() []badInput {
	rng := rand.New(rand.NewPCG(51, 51))
	garbage := make([]byte, 4096)
	for i := range garbage {
		garbage[i] = byte(rng.Uint32()) | 1 // no frame of length 0
	}
	garbage[0], garbage[1] = 0x85, 0x01 // a short frame, so that its content is looked at
	greeted := func(f func(w *wire)) func(*wire, host.Host) {
		return func(w *wire, _ host.Host) { w.greet(); f(w) }
	}
	hello := func(change func(h *pb.Hello, victim host.Host)) func(*wire, host.Host) {
		return func(w *wire, victim host.Host) {
			f := helloFrame(w.host)
			change(f.GetHello(), victim)
			_ = w.send(f)
		}
	}
	packet := func(p *pb.Packet) func(*wire, host.Host) {
		return greeted(func(w *wire) { _ = w.send(packetFrame(p)) })
	}
	key := make([]byte, ring.Size)
	return []badInput{
		{name: "garbage first", do: func(w *wire, _ host.Host) { w.bytes(garbage...) }, drop: pastry.DropMalformed},
		{name: "garbage after hello", do: greeted(func(w *wire) { w.bytes(garbage...) }), drop: pastry.DropMalformed},
		{name: "oversized length first", do: func(w *wire, _ host.Host) { w.bytes(0xff, 0xff, 0xff, 0x7f) }, drop: pastry.DropOversized},
		{name: "oversized length after hello", do: greeted(func(w *wire) { w.bytes(0x81, 0x80, 0x40) }), drop: pastry.DropOversized},
		{name: "endless length", do: greeted(func(w *wire) { w.bytes(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80) }),
			drop: pastry.DropMalformed},
		{name: "empty frame", do: greeted(func(w *wire) { w.bytes(0) }), drop: pastry.DropMalformed},
		{name: "packet before hello", do: func(w *wire, _ host.Host) {
			_ = w.send(packetFrame(&pb.Packet{Kind: pb.Kind_KIND_HEARTBEAT}))
		}, drop: pastry.DropMalformed},
		{name: "another version", do: hello(func(h *pb.Hello, _ host.Host) { h.Version = 2 }), drop: pastry.DropMalformed},
		{name: "hello without a contact", do: hello(func(h *pb.Hello, _ host.Host) { h.Contact = nil }), drop: pastry.DropMalformed},
		{name: "hello of another peer", do: hello(func(h *pb.Hello, victim host.Host) { h.Contact.Peer = []byte(victim.ID()) }),
			drop: pastry.DropMalformed},
		{name: "hello with a forged record", do: hello(func(h *pb.Hello, _ host.Host) { h.Contact.Record = garbage[:100] }),
			drop: pastry.DropMalformed},
		{name: "later hello of another peer", do: func(w *wire, victim host.Host) {
			w.greet()
			f := helloFrame(w.host)
			f.GetHello().Contact.Peer = []byte(victim.ID())
			_ = w.send(f)
		}, drop: pastry.DropMalformed},
		{name: "endless hello", do: func(w *wire, _ host.Host) {
			w.bytes(0x80, 0x80, 0x20) // half a megabyte follows
			go func() {
				for range 100 {
					if _, err := w.s.Write([]byte{1}); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			}()
		}, none: true, late: true},
		{name: "silence", do: func(w *wire, _ host.Host) { w.bytes() }, none: true, late: true},
		{name: "end after half a hello", do: func(w *wire, _ host.Host) { w.bytes(50, 1, 2); _ = w.s.CloseWrite() }, none: true},
		{name: "no kind", do: packet(&pb.Packet{}), drop: pastry.DropMalformed},
		{name: "unknown kind", do: packet(&pb.Packet{Kind: 99}), drop: pastry.DropMalformed},
		{name: "negative kind", do: packet(&pb.Packet{Kind: -1}), drop: pastry.DropMalformed},
		{name: "unknown state", do: packet(&pb.Packet{Kind: pb.Kind_KIND_HEARTBEAT, State: 9}), drop: pastry.DropMalformed},
		{name: "route without message", do: packet(&pb.Packet{Kind: pb.Kind_KIND_ROUTE}), drop: pastry.DropMalformed},
		{name: "message without id", do: packet(&pb.Packet{Kind: pb.Kind_KIND_ROUTE, Msg: &pb.Routed{Key: key, Origin: key}}),
			drop: pastry.DropMalformed},
		{name: "short suspect", do: packet(&pb.Packet{Kind: pb.Kind_KIND_SUSPECT, Suspects: [][]byte{{1}}}), drop: pastry.DropMalformed},
		{name: "proof where none is due", do: greeted(func(w *wire) { _ = w.send(proofFrame([]byte("let me in"))) }),
			drop: pastry.DropMalformed},
	}
}

// Each stranger is shut out and counted, its stream does not stay, and the ring
// does not notice.
func TestBadInput(t *testing.T) {
	for _, tt := range badInputs() {
		t.Run(tt.name, func(t *testing.T) {
			var m metered
			cfg := seeded(51, 3)
			cfg.Options = func(i int) []pastry.Option { return []pastry.Option{m.option(i)} }
			withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
				stranger, err := c.Network().NewHost()
				if err != nil {
					t.Fatal(err)
				}
				w := dialWire(t, stranger, c.Node(0))
				tt.do(w, c.Node(1).Host())
				took := w.refused(handshakeLimit)
				if tt.late && took < handshakeLimit-2*time.Second {
					t.Errorf("the node closed the stream after %v, want the time of a handshake", took)
				} else if !tt.late && took > 2*time.Second {
					t.Errorf("the node closed the stream after %v, want at once", took)
				}
				time.Sleep(time.Second)
				if got := streams(c.Node(0).Host(), stranger); got != 0 {
					t.Errorf("%d streams stay open", got)
				}
				for d := pastry.DropMalformed; d <= pastry.DropCredential; d++ {
					want := 0.
					if d == tt.drop && !tt.none {
						want = 1
					}
					if got := m.drops(t, 0, d); got != want {
						t.Errorf("%v drops counted as %v, want %v", got, d, want)
					}
				}
				checkRoots(t, c, 10)
				if got := holders(t, c, stranger.ID()); len(got) > 0 {
					t.Errorf("nodes %v have the stranger in their tables", got)
				}
			})
		})
	}
}

// streams counts the open streams of the protocol between two hosts.
func streams(h, remote host.Host) (count int) {
	for _, conn := range h.Network().ConnsToPeer(remote.ID()) {
		for _, s := range conn.GetStreams() {
			if s.Protocol() == pastry.ProtocolID {
				count++
			}
		}
	}
	return count
}

// Hundreds of streams that say nothing are gone when their time is over.
func TestSilentStreams(t *testing.T) {
	withRing(t, seeded(52, 3), func(t *testing.T, c *testutil.Cluster) {
		stranger, err := c.Network().NewHost()
		if err != nil {
			t.Fatal(err)
		}
		const many = 200
		for range many {
			w := dialWire(t, stranger, c.Node(0))
			go func() { _, _ = io.Copy(io.Discard, w.s) }() // reading makes libp2p name the protocol
		}
		time.Sleep(time.Second)
		if got := streams(c.Node(0).Host(), stranger); got != many {
			t.Fatalf("%d streams are open, want %d", got, many)
		}
		checkRoots(t, c, 10)
		time.Sleep(handshakeLimit)
		if got := streams(c.Node(0).Host(), stranger); got != 0 {
			t.Errorf("%d silent streams are open after %v", got, handshakeLimit)
		}
	})
}

// A neighbour may send any frames: none harms the ring.
func TestMutatedFrames(t *testing.T) {
	const rounds = 300
	withRing(t, seeded(53, 3), func(t *testing.T, c *testutil.Cluster) {
		stranger, err := c.Network().NewHost()
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(53, 53))
		templates := templates(t, stranger, c)
		for range rounds {
			w := dialWire(t, stranger, c.Node(rng.IntN(3)))
			w.greet()
			for range 1 + rng.IntN(4) {
				b, err := proto.Marshal(templates[rng.IntN(len(templates))])
				if err != nil {
					t.Fatal(err)
				}
				for range rng.IntN(3) {
					b[rng.IntN(len(b))] = byte(rng.Uint32())
				}
				w.bytes(append(binary.AppendUvarint(nil, uint64(len(b))), b...)...)
			}
			time.Sleep(50 * time.Millisecond)
			_ = w.s.Reset()
		}
		time.Sleep(time.Minute)
		settle(t, c, time.Minute)
		checkRoots(t, c, 30)
	})
}

// templates returns a valid frame of each kind.
func templates(t *testing.T, h host.Host, c *testutil.Cluster) []*pb.Frame {
	t.Helper()
	id := func(b byte) []byte { return append(make([]byte, ring.Size-1), b) }
	victim := c.Node(0)
	route, err := pastry.SignedRoute(h.Peerstore().PrivKey(h.ID()), &pastry.Packet{Seq: 1, State: pastry.StateActive, TTL: time.Second,
		Msg: &pastry.Routed{ID: pastry.MessageID{1}, App: "testutil", Key: victim.ID(), Payload: []byte("payload")}})
	if err != nil {
		t.Fatal(err)
	}
	self := &pb.Contact{Peer: []byte(h.ID()), Epoch: 1}
	answer := &pb.Answer{Id: id(1), Origin: []byte(victim.Host().ID()), Root: []byte(h.ID()), Hops: 1, Path: [][]byte{[]byte(h.ID())}}
	delivered := []*pb.Delivery{{Id: id(1), Key: id(2), By: []byte(h.ID())}}
	ps := []*pb.Packet{route,
		{Kind: pb.Kind_KIND_REPLY, Seq: 2, Answer: answer},
		{Kind: pb.Kind_KIND_ACK, Seq: 3},
		{Kind: pb.Kind_KIND_PROBE, Seq: 4, Want: 7, Row: 1, Coord: []float32{1, 2, 3}},
		{Kind: pb.Kind_KIND_PROBE_REPLY, Seq: 5, Want: 1, Version: 3, Contacts: []*pb.Contact{self}},
		{Kind: pb.Kind_KIND_HEARTBEAT},
		{Kind: pb.Kind_KIND_GRANT, Seq: 6, Larger: true},
		{Kind: pb.Kind_KIND_GRANT_REPLY, Seq: 7, Contacts: []*pb.Contact{self}, Delivered: delivered},
		{Kind: pb.Kind_KIND_SUSPECT, Suspects: [][]byte{id(3)}},
		{Kind: pb.Kind_KIND_LEAVE, Seq: 8, Delivered: delivered}}
	fs := []*pb.Frame{helloFrame(h), proofFrame([]byte("proof"))}
	for i, p := range ps {
		p.State = pb.State(i % 4)
		fs = append(fs, packetFrame(p))
	}
	return fs
}

// A neighbour that opens stream after stream keeps only the latest few.
func TestManyStreams(t *testing.T) {
	withRing(t, seeded(53, 3), func(t *testing.T, c *testutil.Cluster) {
		stranger, err := c.Network().NewHost()
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			w := dialWire(t, stranger, c.Node(0))
			w.greet()
			go func() { _, _ = io.Copy(io.Discard, w.s) }()
			time.Sleep(time.Second)
		}
		if got := streams(c.Node(0).Host(), stranger); got > 4 {
			t.Errorf("%d streams of one neighbour are open, want at most 4", got)
		}
		checkRoots(t, c, 10)
	})
}
