package interop_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	discovery "github.com/libp2p/go-libp2p/p2p/discovery/routing"
)

// Subscribers of a topic that do not know each other find each other through the
// router, and each hears every other.
func TestPubsub(t *testing.T) {
	const topicName, subscribers = "interop", 3
	ctx := within(t, 40*time.Second)
	peers := clients(t, ring(t, 4), subscribers)
	topics := make([]*pubsub.Topic, subscribers)
	subs := make([]*pubsub.Subscription, subscribers)
	for i, n := range peers {
		ps, err := pubsub.NewGossipSub(ctx, n.Host(), pubsub.WithDiscovery(discovery.NewRoutingDiscovery(n)))
		must(t, err)
		topics[i], err = ps.Join(topicName)
		must(t, err)
		subs[i], err = topics[i].Subscribe()
		must(t, err)
	}
	var wg sync.WaitGroup
	for i, topic := range topics {
		wg.Go(func() {
			err := topic.Publish(ctx, fmt.Appendf(nil, "from %d", i), pubsub.WithReadiness(pubsub.MinTopicSize(subscribers-1)))
			if err != nil {
				t.Errorf("subscriber %d publishes: %v", i, err)
			}
		})
	}
	for i, sub := range subs {
		heard := make(map[string]bool)
		for len(heard) < subscribers {
			m, err := sub.Next(ctx)
			if err != nil {
				t.Fatalf("subscriber %d heard %v: %v", i, heard, err)
			}
			heard[string(m.Data)] = true
		}
		sub.Cancel()
	}
	wg.Wait()
}
