package pastry_test

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/ring"
)

const rawEcho = "/raw-echo/1.0.0"

// BenchmarkThroughput measures routed requests and replies over three real
// hosts on loopback beside a raw libp2p echo between the same hosts, in turns
// within one run, so that the machine's moods hit both. Every request goes from
// the first host to one of the others, which is root of its key: one hop. The
// raw echo has a stream a worker, kept open, which is the best libp2p can do.
//
//	go test -run '^$' -bench Throughput -benchtime 5s .
//
// It reports both rates and their ratio.
func BenchmarkThroughput(b *testing.B) {
	for _, workers := range []int{1, 16, 128} {
		for _, size := range []int{256, 4096} {
			b.Run(benchName(workers, size), func(b *testing.B) { benchmarkThroughput(b, workers, size) })
		}
	}
}

func benchName(workers, size int) string {
	return fmt.Sprintf("workers=%d/payload=%d", workers, size)
}

func benchmarkThroughput(b *testing.B, workers, size int) {
	nodes := loopbackRing(b, 3)
	payload := make([]byte, size)
	keys := remoteKeys(nodes, 64)
	raw := openEchoes(b, nodes, workers)
	routed := func(worker, i int) error {
		_, err := nodes[0].Route(context.Background(), "echo", keys[(worker+i)%len(keys)], payload)
		return err
	}
	plain := func(worker, _ int) error {
		buf := make([]byte, size)
		if _, err := raw[worker].Write(payload); err != nil {
			return err
		}
		_, err := io.ReadFull(raw[worker], buf)
		return err
	}
	const chunk = 2000
	drive(b, workers, chunk, routed) // warm up
	drive(b, workers, chunk, plain)
	var inRouted, inPlain time.Duration
	requests := 0
	for b.Loop() {
		inRouted += drive(b, workers, chunk, routed)
		inPlain += drive(b, workers, chunk, plain)
		requests += chunk
	}
	b.ReportMetric(float64(requests)/inRouted.Seconds(), "routed/s")
	b.ReportMetric(float64(requests)/inPlain.Seconds(), "raw/s")
	b.ReportMetric(inPlain.Seconds()/inRouted.Seconds(), "routed:raw")
}

// drive makes n requests with the given number of workers, each waiting for its
// answer, and returns how long they took.
func drive(b *testing.B, workers, n int, request func(worker, i int) error) time.Duration {
	var next atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for w := range workers {
		wg.Go(func() {
			for i := int(next.Add(1)); i <= n; i = int(next.Add(1)) {
				if err := request(w, i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(start)
}

func loopbackRing(tb testing.TB, n int) []*pastry.Node {
	var nodes []*pastry.Node
	for i := range n {
		h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { h.Close() })
		node, err := pastry.New(h)
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { node.Close() })
		if err := node.Register("echo", echoApp{}); err != nil {
			tb.Fatal(err)
		}
		h.SetStreamHandler(rawEcho, func(s network.Stream) {
			io.Copy(s, s)
			s.Close()
		})
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		var through []peer.AddrInfo
		if i > 0 {
			through = append(through, *host.InfoFromHost(nodes[0].Host()))
		}
		err = node.Join(ctx, through...)
		cancel()
		if err != nil {
			tb.Fatal(err)
		}
		nodes = append(nodes, node)
	}
	return nodes
}

type echoApp struct{}

func (echoApp) Deliver(_ context.Context, m *pastry.Message) ([]byte, error) { return m.Payload, nil }
func (echoApp) Forward(context.Context, *pastry.Message, peer.ID) bool       { return true }

// remoteKeys returns keys of which the first node is not root.
func remoteKeys(nodes []*pastry.Node, n int) []ring.ID {
	var keys []ring.ID
	for i := 0; len(keys) < n; i++ {
		key := ring.FromKey([]byte{byte(i), byte(i >> 8)})
		if _, other := nodes[0].NextHop(key); other {
			keys = append(keys, key)
		}
	}
	return keys
}

// openEchoes opens a raw echo stream for each worker, to the other hosts in turn.
func openEchoes(b *testing.B, nodes []*pastry.Node, workers int) []network.Stream {
	var streams []network.Stream
	for w := range workers {
		s, err := nodes[0].Host().NewStream(context.Background(), nodes[1+w%(len(nodes)-1)].Host().ID(), rawEcho)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { s.Reset() })
		streams = append(streams, s)
	}
	return streams
}
