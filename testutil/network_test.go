package testutil_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/secondbit/pastry/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quicIdleTimeout is after how much silence go-libp2p gives a connection up.
const quicIdleTimeout = 30 * time.Second

// inBubble runs f on a network of hosts in virtual time.
func inBubble(t *testing.T, cfg testutil.NetworkConfig, hosts int, f func(t *testing.T, nw *testutil.Network, hs []host.Host)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		nw, err := testutil.NewNetwork(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := nw.Close(); err != nil {
				t.Errorf("closing the network: %v", err)
			}
		}()
		hs := make([]host.Host, hosts)
		for i := range hs {
			if hs[i], err = nw.NewHost(); err != nil {
				t.Fatal(err)
			}
		}
		f(t, nw, hs)
	})
}

// constant returns a latency that is the same everywhere.
func constant(d time.Duration) func(a, b int) time.Duration {
	return func(int, int) time.Duration { return d }
}

func connect(t *testing.T, from, to host.Host) {
	t.Helper()
	if err := dial(t.Context(), from, to); err != nil {
		t.Fatal(err)
	}
}

// dial connects from to to within ten seconds.
func dial(ctx context.Context, from, to host.Host) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return from.Connect(ctx, peer.AddrInfo{ID: to.ID(), Addrs: to.Addrs()})
}

// roundTrip returns the time of a second ping: the first opens the stream.
func roundTrip(t *testing.T, from, to host.Host) (time.Duration, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	results := ping.Ping(ctx, from, to.ID())
	<-results
	r, ok := <-results
	if !ok { // no answer
		return 0, ctx.Err()
	}
	return r.RTT, r.Error
}

// disconnection returns a channel that gets the time at which h loses its last
// connection to p.
func disconnection(h host.Host, p peer.ID) <-chan time.Time {
	at := make(chan time.Time, 1)
	h.Network().Notify(&network.NotifyBundle{DisconnectedF: func(n network.Network, c network.Conn) {
		if c.RemotePeer() == p && n.Connectedness(p) != network.Connected {
			at <- time.Now()
		}
	}})
	return at
}

func wantConnected(t *testing.T, h host.Host, p peer.ID) {
	t.Helper()
	if got := h.Network().Connectedness(p); got != network.Connected {
		t.Errorf("connectedness to %v: got %v, want %v", p, got, network.Connected)
	}
}

func TestRoundTripIsTwiceTheLatency(t *testing.T) {
	tests := []struct {
		name    string
		latency func(a, b int) time.Duration
	}{
		{"none", constant(0)},
		{"constant", constant(25 * time.Millisecond)},
		{"wide area", nil},
	}
	const tolerance = time.Millisecond // acknowledgement pacing and link rate
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, testutil.NetworkConfig{Seed: 7, Latency: tt.latency}, 6, func(t *testing.T, nw *testutil.Network, hs []host.Host) {
				for i := 1; i < len(hs); i++ {
					connect(t, hs[0], hs[i])
					got, err := roundTrip(t, hs[0], hs[i])
					if err != nil {
						t.Fatal(err)
					}
					want := nw.Latency(0, i) + nw.Latency(i, 0)
					if got < want || got > want+tolerance {
						t.Errorf("round trip to host %d: got %v, want %v to %v", i, got, want, want+tolerance)
					}
				}
			})
		})
	}
}

func TestCrashIsSilent(t *testing.T) {
	inBubble(t, testutil.NetworkConfig{Seed: 1}, 3, func(t *testing.T, nw *testutil.Network, hs []host.Host) {
		connect(t, hs[0], hs[1])
		connect(t, hs[0], hs[2])
		gone := disconnection(hs[0], hs[1].ID())

		start := time.Now()
		nw.Crash(1)
		if !nw.Crashed(1) || nw.Crashed(2) {
			t.Errorf("crashed: got %v, %v for hosts 1, 2, want true, false", nw.Crashed(1), nw.Crashed(2))
		}
		time.Sleep(5 * time.Second)
		wantConnected(t, hs[0], hs[1].ID())
		if _, err := roundTrip(t, hs[0], hs[1]); err == nil {
			t.Error("a crashed host answered")
		}
		if _, err := roundTrip(t, hs[0], hs[2]); err != nil {
			t.Errorf("ping of a host in order: %v", err)
		}

		got := (<-gone).Sub(start)
		if got < quicIdleTimeout-time.Second || got > quicIdleTimeout+20*time.Second {
			t.Errorf("the crash was noticed after %v, want about %v", got, quicIdleTimeout)
		}
		if err := dial(t.Context(), hs[2], hs[1]); err == nil {
			t.Error("a crashed host was dialled")
		}
		wantConnected(t, hs[0], hs[2].ID())
	})
}

// What was under way when a host crashed does not arrive, in either direction.
func TestCrashDropsPacketsUnderWay(t *testing.T) {
	for crashed, name := range []string{"sender", "receiver"} {
		t.Run(name, func(t *testing.T) {
			const latency = 100 * time.Millisecond
			inBubble(t, testutil.NetworkConfig{Latency: constant(latency)}, 2, func(t *testing.T, nw *testutil.Network, hs []host.Host) {
				var received atomic.Int64
				hs[1].SetStreamHandler("/testutil/count", func(s network.Stream) {
					_, _ = io.Copy(countWriter{&received}, s)
				})
				connect(t, hs[0], hs[1])
				s, err := hs[0].NewStream(t.Context(), hs[1].ID(), "/testutil/count")
				if err != nil {
					t.Fatal(err)
				}
				write := func() {
					if _, err := s.Write([]byte{1}); err != nil {
						t.Fatal(err)
					}
				}
				write()
				time.Sleep(2 * latency)
				write()
				time.Sleep(latency / 2)
				nw.Crash(crashed)
				time.Sleep(5 * time.Second)
				if got := received.Load(); got != 1 {
					t.Errorf("%d bytes arrived, want the 1 sent long before the crash", got)
				}
			})
		})
	}
}

// countWriter adds up the bytes written to it.
type countWriter struct{ n *atomic.Int64 }

func (w countWriter) Write(p []byte) (int, error) {
	w.n.Add(int64(len(p)))
	return len(p), nil
}

func TestReviveBeforeTimeout(t *testing.T) {
	inBubble(t, testutil.NetworkConfig{Seed: 1}, 2, func(t *testing.T, nw *testutil.Network, hs []host.Host) {
		connect(t, hs[0], hs[1])
		nw.Crash(1)
		time.Sleep(10 * time.Second)
		nw.Revive(1)
		if nw.Crashed(1) {
			t.Error("crashed after Revive")
		}
		if _, err := roundTrip(t, hs[0], hs[1]); err != nil {
			t.Errorf("ping of a revived host: %v", err)
		}
	})
}

func TestPartition(t *testing.T) {
	inBubble(t, testutil.NetworkConfig{Seed: 2}, 5, func(t *testing.T, nw *testutil.Network, hs []host.Host) {
		for i := range hs {
			for j := range i {
				connect(t, hs[i], hs[j])
			}
		}
		reach := func() (got [][2]int) {
			for i := range hs {
				for j := range i {
					if _, err := roundTrip(t, hs[i], hs[j]); err == nil {
						got = append(got, [2]int{j, i})
					}
				}
			}
			return got
		}
		all := reach()
		if got, want := len(all), 10; got != want {
			t.Fatalf("%d pairs reach each other before the partition, want %d", got, want)
		}

		nw.Partition([]int{0, 1}, []int{2})
		if diff := cmp.Diff([][2]int{{0, 1}, {3, 4}}, reach()); diff != "" {
			t.Errorf("pairs that reach each other in a partition (-want +got):\n%s", diff)
		}

		nw.Heal()
		time.Sleep(2 * quicIdleTimeout) // connections across are lost by now
		for i := range hs {
			for j := range i {
				connect(t, hs[i], hs[j])
			}
		}
		if diff := cmp.Diff(all, reach()); diff != "" {
			t.Errorf("pairs that reach each other after it (-want +got):\n%s", diff)
		}
	})
}

// place is what a seed determines about a host.
type place struct {
	Peer    peer.ID
	Addrs   string
	Region  string
	Latency []time.Duration // to the others
}

func places(t *testing.T, seed uint64) (got []place) {
	inBubble(t, testutil.NetworkConfig{Seed: seed}, 6, func(t *testing.T, nw *testutil.Network, hs []host.Host) {
		for i, h := range hs {
			p := place{Peer: h.ID(), Addrs: fmt.Sprint(h.Addrs()), Region: nw.Region(i)}
			for j := range hs {
				p.Latency = append(p.Latency, nw.Latency(i, j))
			}
			got = append(got, p)
		}
	})
	return got
}

func TestSeedDeterminesPlaces(t *testing.T) {
	first, again, other := places(t, 3), places(t, 3), places(t, 4)
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("two networks of one seed differ (-first +second):\n%s", diff)
	}
	for i := range first {
		if first[i].Peer == other[i].Peer {
			t.Errorf("host %d has one key under two seeds", i)
		}
		if first[i].Addrs != other[i].Addrs {
			t.Errorf("host %d: got addresses %s and %s under two seeds, want the same", i, first[i].Addrs, other[i].Addrs)
		}
	}
}

func TestWideAreaLatency(t *testing.T) {
	nw, err := testutil.NewNetwork(testutil.NetworkConfig{Seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	defer nw.Close()
	const hosts = 300
	members := map[string]int{}
	for i := range hosts {
		members[nw.Region(i)]++
		for j := range i {
			rtt := 2 * nw.Latency(i, j)
			low, high := 66*time.Millisecond, 225*time.Millisecond
			if nw.Region(i) == nw.Region(j) {
				low, high = 2*time.Millisecond, 10*time.Millisecond
			}
			if rtt < low || rtt > high {
				t.Fatalf("round trip from %s to %s: got %v, want %v to %v", nw.Region(i), nw.Region(j), rtt, low, high)
			}
			if back := nw.Latency(j, i); 2*back != rtt {
				t.Fatalf("latency between %d and %d: got %v one way and %v back", i, j, rtt/2, back)
			}
		}
		if got := nw.Latency(i, i); got != 0 {
			t.Fatalf("latency of host %d to itself: got %v, want 0", i, got)
		}
	}
	if got, want := len(members), 6; got != want {
		t.Errorf("%d hosts are in %d regions, want %d", hosts, got, want)
	}
	for region, got := range members {
		if got < hosts/6/2 || got > hosts/6*2 {
			t.Errorf("%s has %d of %d hosts, want about a sixth", region, got, hosts)
		}
	}
}

// send moves size bytes from one host to another and returns how long that took.
func send(t *testing.T, from, to host.Host, size int) time.Duration {
	t.Helper()
	to.SetStreamHandler("/testutil/sink", func(s network.Stream) {
		_, _ = io.Copy(io.Discard, s)
		_ = s.Close()
	})
	start := time.Now()
	s, err := from.NewStream(t.Context(), to.ID(), "/testutil/sink")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Fatalf("the end of a stream: got %v, want EOF", err)
	}
	return time.Since(start)
}

func TestBandwidthAndLoss(t *testing.T) {
	const size = 1 << 20 // bytes
	tests := []struct {
		name      string
		cfg       testutil.NetworkConfig
		low, high time.Duration
	}{
		{"default", testutil.NetworkConfig{}, 84 * time.Millisecond, time.Second},
		{"4 Mbit/s", testutil.NetworkConfig{Bandwidth: 4_000_000}, 2 * time.Second, 4 * time.Second},
		{"2% loss", testutil.NetworkConfig{Loss: .02}, time.Second, time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Latency = constant(20 * time.Millisecond)
			inBubble(t, tt.cfg, 2, func(t *testing.T, _ *testutil.Network, hs []host.Host) {
				connect(t, hs[0], hs[1])
				if got := send(t, hs[0], hs[1], size); got < tt.low || got > tt.high {
					t.Errorf("sending %d bytes took %v, want %v to %v", size, got, tt.low, tt.high)
				}
			})
		})
	}
}

func TestInvalidConfig(t *testing.T) {
	tests := []struct {
		name string
		cfg  testutil.NetworkConfig
	}{
		{"negative bandwidth", testutil.NetworkConfig{Bandwidth: -1}},
		{"negative loss", testutil.NetworkConfig{Loss: -.1}},
		{"all lost", testutil.NetworkConfig{Loss: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := testutil.NewNetwork(tt.cfg); err == nil {
				t.Error("NewNetwork took it")
			}
		})
	}
}

func TestHostOptions(t *testing.T) {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	want, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	inBubble(t, testutil.NetworkConfig{}, 1, func(t *testing.T, nw *testutil.Network, hs []host.Host) {
		failure := errors.New("no such option")
		if _, err := nw.NewHost(func(*libp2p.Config) error { return failure }); !errors.Is(err, failure) {
			t.Errorf("NewHost with an option that fails: got %v, want %v", err, failure)
		}
		h, err := nw.NewHost(libp2p.Identity(key))
		if err != nil {
			t.Fatal(err)
		}
		if got := h.ID(); got != want {
			t.Errorf("host with a key of its own: got %v, want %v", got, want)
		}
		connect(t, hs[0], h)
	})
}

func TestClose(t *testing.T) {
	inBubble(t, testutil.NetworkConfig{}, 3, func(t *testing.T, nw *testutil.Network, hs []host.Host) {
		connect(t, hs[0], hs[1])
		gone := disconnection(hs[1], hs[0].ID())
		if err := hs[0].Close(); err != nil {
			t.Fatal(err)
		}
		<-gone // a host that closes says so
		for range 2 {
			if err := nw.Close(); err != nil {
				t.Errorf("closing the network: %v", err)
			}
		}
		if _, err := nw.NewHost(); !errors.Is(err, testutil.ErrNetworkClosed) {
			t.Errorf("NewHost after Close: got %v, want %v", err, testutil.ErrNetworkClosed)
		}
	})
}

// Thirty-two hosts, each connected to all others and idle for a while, end with
// the bubble, and with less work than would make larger tests a burden.
func TestManyHosts(t *testing.T) {
	const hosts, limit = 32, time.Minute
	start := time.Now() // wall time, outside the bubble
	inBubble(t, testutil.NetworkConfig{Seed: 9}, hosts, func(t *testing.T, nw *testutil.Network, hs []host.Host) {
		var wg sync.WaitGroup
		for i := range hs {
			for j := range i {
				wg.Go(func() {
					if err := dial(t.Context(), hs[i], hs[j]); err != nil {
						t.Errorf("host %d to host %d: %v", i, j, err)
					}
				})
			}
		}
		wg.Wait()
		time.Sleep(time.Minute)
		for i, h := range hs {
			if got, want := len(h.Network().Peers()), hosts-1; got != want {
				t.Errorf("host %d has %d peers, want %d", i, got, want)
			}
			if !slices.Contains(hs[0].Peerstore().Peers(), h.ID()) {
				t.Errorf("host 0 does not know host %d", i)
			}
		}
	})
	if took := time.Since(start); took > limit {
		t.Errorf("%d hosts took %v of wall time, want at most %v", hosts, took, limit)
	} else {
		t.Logf("%d hosts took %v of wall time", hosts, took)
	}
}
