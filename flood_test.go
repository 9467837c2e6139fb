package pastry_test

import (
	"bufio"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protodelim"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/testutil"
)

// pings routes messages from one node to another's id and returns them.
func pings(t *testing.T, from, to *pastry.Node, count int, gap time.Duration) []call {
	t.Helper()
	calls := make([]call, count)
	for i := range calls {
		m, begun := &calls[i], time.Now()
		m.receipt, m.err = from.Route(within(t, 30*time.Second), "echo", to.ID(), []byte("ping"))
		if m.took = time.Since(begun); m.err != nil {
			t.Errorf("message to a node in trouble: %v", m.err)
		}
		time.Sleep(gap)
	}
	return calls
}

// flood writes frames again and again, as fast as the stream takes them, until
// stop is closed, but at least so many. It returns how many were written.
func (w *wire) flood(least int, stop <-chan struct{}, frames ...*pb.Frame) (sent int) {
	out := bufio.NewWriterSize(w.s, 1<<16)
	for {
		select {
		case <-stop:
			if sent >= least {
				_ = out.Flush()
				return sent
			}
		default:
		}
		if _, err := protodelim.MarshalTo(out, frames[sent%len(frames)]); err != nil {
			return sent
		}
		sent++
	}
}

// A flood from one neighbour costs another nothing: the node takes a few packets
// from each in turn. In virtual time this shows waiting alone, not work.
func TestFlood(t *testing.T) {
	const routes = 2000
	heartbeat := packetFrame(&pb.Packet{Kind: pb.Kind_KIND_HEARTBEAT, State: pb.State_STATE_ACTIVE})
	tests := []struct {
		name   string
		least  int
		drops  bool // more than one neighbour may send
		frames func(t *testing.T, w *wire, to *pastry.Node) []*pb.Frame
	}{
		{"heartbeats", 300_000, true, func(*testing.T, *wire, *pastry.Node) []*pb.Frame { return []*pb.Frame{heartbeat} }},
		{"routes", routes, false, func(t *testing.T, w *wire, to *pastry.Node) (fs []*pb.Frame) {
			for i := range routes {
				p := route(t, w.host, to, "echo", 0)
				p.Msg.Id[0], p.Msg.Id[1], p.Seq = byte(i), byte(i>>8), uint64(i)
				fs = append(fs, packetFrame(p))
			}
			return fs
		}},
		{"probes", 300_000, true, func(*testing.T, *wire, *pastry.Node) []*pb.Frame {
			return []*pb.Frame{packetFrame(&pb.Packet{Kind: pb.Kind_KIND_PROBE, State: pb.State_STATE_ACTIVE})} // wanting little: long answers would fill the link
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var m metered
			cfg := seeded(91, 3)
			cfg.Options = func(i int) []pastry.Option { return []pastry.Option{m.option(i)} }
			cfg.Network.Latency = func(_, _ int) time.Duration { return 2 * time.Millisecond }
			withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
				register(t, c, "echo", echo)
				stranger, err := c.Network().NewHost()
				if err != nil {
					t.Fatal(err)
				}
				w := dialWire(t, stranger, c.Node(0))
				w.greet()
				go func() { // it does read
					for {
						if _, err := w.read(); err != nil {
							return
						}
					}
				}()
				frames := tt.frames(t, w, c.Node(0))
				before := pings(t, c.Node(1), c.Node(0), 60, time.Millisecond)
				stop, sent := make(chan struct{}), make(chan int)
				go func() { sent <- w.flood(tt.least, stop, frames...) }()
				during := pings(t, c.Node(1), c.Node(0), 60, time.Millisecond)
				close(stop)
				got := <-sent
				_ = w.s.Reset()
				t.Logf("%d frames; p50 %v, p99 %v before, %v, %v during", got,
					quantile(before, .5), quantile(before, .99), quantile(during, .5), quantile(during, .99))
				if got < tt.least {
					t.Errorf("%d frames sent, want at least %d", got, tt.least)
				}
				if got, limit := quantile(during, .99), quantile(before, .99)*2; got > limit {
					t.Errorf("a message of another neighbour took up to %v, want at most %v", got, limit)
				}
				if got := m.drops(t, 0, pastry.DropFlood); got > 0 != tt.drops {
					t.Errorf("%v drops counted as flood, want some: %t", got, tt.drops)
				}
				settle(t, c, time.Minute)
			})
		})
	}
}

// A neighbour that asks much and never reads the answers loses its stream, and
// nobody else notices.
func TestNeighbourThatDoesNotRead(t *testing.T) {
	var m metered
	cfg := seeded(92, 4)
	cfg.Options = func(i int) []pastry.Option { return []pastry.Option{m.option(i)} }
	withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
		register(t, c, "echo", echo)
		stranger, err := c.Network().NewHost()
		if err != nil {
			t.Fatal(err)
		}
		before := pings(t, c.Node(1), c.Node(0), 30, 10*time.Millisecond)
		w := dialWire(t, stranger, c.Node(0))
		w.greet()
		stop := make(chan struct{})
		close(stop)
		w.flood(5000, stop, packetFrame(&pb.Packet{Kind: pb.Kind_KIND_PROBE, State: pb.State_STATE_ACTIVE, Want: 7}))

		during := pings(t, c.Node(1), c.Node(0), 30, 10*time.Millisecond)
		if got, limit := quantile(during, .99), quantile(before, .99)*3/2; got > limit {
			t.Errorf("a message of another neighbour took up to %v, want at most %v", got, limit)
		}
		if got := m.drops(t, 0, pastry.DropOutbox); got == 0 {
			t.Error("no drop is counted for the full outbox")
		}
		time.Sleep(30 * time.Second)
		if got := streams(c.Node(0).Host(), stranger); got != 0 {
			t.Errorf("%d streams to it are open after half a minute", got)
		}
		settle(t, c, time.Minute)
		checkRoots(t, c, 20)
	})
}

// The same flood on real sockets, where it also costs work: here the processor
// is shared, and the bound is wide.
func TestFloodOnLoopback(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds of real time")
	}
	nodes := loopback(t, 2)
	for _, n := range nodes {
		if err := n.Register("echo", program{}); err != nil {
			t.Fatal(err)
		}
	}
	before := pings(t, nodes[1], nodes[0], 1000, 0)
	w := dialWire(t, loopbackHost(t), nodes[0])
	w.greet()
	stop, sent := make(chan struct{}), make(chan int)
	go func() {
		sent <- w.flood(100_000, stop, packetFrame(&pb.Packet{Kind: pb.Kind_KIND_HEARTBEAT, State: pb.State_STATE_ACTIVE}))
	}()
	during := pings(t, nodes[1], nodes[0], 1000, 0)
	close(stop)
	t.Logf("%d frames; p50 %v, p99 %v before, %v, %v during", <-sent,
		quantile(before, .5), quantile(before, .99), quantile(during, .5), quantile(during, .99))
	if got, limit := quantile(during, .5), 20*quantile(before, .5)+20*time.Millisecond; got > limit {
		t.Errorf("a message of another neighbour took %v in the median, want at most %v", got, limit)
	}
}
