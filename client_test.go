package pastry_test

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/testutil"
)

func identity(s signer) libp2p.Option { return libp2p.Identity(s.priv) }

// clientsFrom returns the options of nodes that are clients from the given number
// on.
func clientsFrom(members int, opts ...pastry.Option) func(int) []pastry.Option {
	return func(i int) []pastry.Option {
		all := append([]pastry.Option{withRanks}, opts...)
		if i >= members {
			all = append(all, pastry.WithMode(pastry.ModeClient))
		}
		return all
	}
}

// addClient adds a node, a client as clientsFrom has it, and waits until it is
// known to the ring.
func addClient(t *testing.T, c *testutil.Cluster) *pastry.Node {
	t.Helper()
	i, err := c.Add()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Join(within(t, 30*time.Second), i); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Second)
	return c.Node(i)
}

// A client does whatever a member does, and is found by the others: its content
// can be fetched by who knows nothing but the CID.
func TestClientRoutes(t *testing.T) {
	const members = 8
	cfg := seeded(87, members)
	cfg.Options = clientsFrom(members, pastry.WithReplication(4))
	withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
		client, other := addClient(t, c), addClient(t, c)
		own, members1 := pastry.ContentCID(t, "client's"), pastry.ContentCID(t, "member's")
		provide(t, client, own)
		provide(t, c.Node(1), members1)
		putValue(t, client, "/rank/client", "1 client's")
		putValue(t, c.Node(2), "/rank/member", "1 member's")
		for i := range c.Len() {
			n := c.Node(i)
			checkFound(t, n, own, infosOf(client))
			checkFound(t, n, members1, infosOf(c.Node(1)))
			checkValue(t, n, "/rank/client", "1 client's")
			checkValue(t, n, "/rank/member", "1 member's")
			info, err := n.FindPeer(within(t, 20*time.Second), client.Host().ID())
			if err != nil || !cmp.Equal(info, infosOf(client)[0]) {
				t.Errorf("node %d finds the client: got %v, %v, want %v", i, info, err, infosOf(client)[0])
			}
		}
		if info, err := client.FindPeer(within(t, 20*time.Second), c.Node(5).Host().ID()); err != nil || !cmp.Equal(info, infosOf(c.Node(5))[0]) {
			t.Errorf("the client finds a member: got %v, %v", info, err)
		}
		if held := pastry.HeldEntries(client); len(held) > 0 {
			t.Errorf("the client holds %d records for others", len(held))
		}

		client.Host().SetStreamHandler("/fetch", func(s network.Stream) {
			fmt.Fprint(s, "content")
			s.Close()
		})
		for info := range other.FindProvidersAsync(within(t, 20*time.Second), own, 1) {
			if got := fetch(t, c, info); got != "content" {
				t.Errorf("fetched %q", got)
			}
		}
	})
}

// fetch reads what a peer offers, from a host that knows the address given alone.
func fetch(t *testing.T, c *testutil.Cluster, info peer.AddrInfo) string {
	t.Helper()
	h, err := c.Network().NewHost()
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t, 10*time.Second)
	if err := h.Connect(ctx, info); err != nil {
		t.Fatalf("the provider cannot be reached: %v", err)
	}
	s, err := h.NewStream(ctx, info.ID, "/fetch")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b, err := io.ReadAll(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// reach tells a node that it can, or cannot, be reached, and waits until it is in
// the given state.
func reach(t *testing.T, n *pastry.Node, r network.Reachability, want pastry.State) {
	t.Helper()
	emitter, err := n.Host().EventBus().Emitter(new(event.EvtLocalReachabilityChanged))
	if err != nil {
		t.Fatal(err)
	}
	defer emitter.Close()
	if err := emitter.Emit(event.EvtLocalReachabilityChanged{Reachability: r}); err != nil {
		t.Fatal(err)
	}
	for range 300 {
		time.Sleep(100 * time.Millisecond)
		if n.State() == want {
			return
		}
	}
	t.Fatalf("reachability is %v: the node is %v, want %v", r, n.State(), want)
}

// holderCount returns how many members hold a record, and whether they are those
// closest to its key.
func holderCount(c *testutil.Cluster, id records.ID, replicas int) (holders int, exact bool) {
	right := c.Oracle().Replicas(id.Key, replicas)
	exact = true
	for i := range c.Len() {
		closest := false
		for _, p := range right {
			closest = closest || p == c.Node(i).Host().ID()
		}
		holds := pastry.Holds(c.Node(i), id)
		if holds {
			holders++
		}
		exact = exact && holds == closest
	}
	return holders, exact
}

// checkHolders checks that each record is on the members closest to its key, and
// on nobody else.
func checkHolders(t *testing.T, c *testutil.Cluster, ids []records.ID, replicas int) {
	t.Helper()
	for _, id := range ids {
		if holders, exact := holderCount(c, id, replicas); !exact {
			t.Errorf("record %s: %d nodes hold it, not the %d closest members", id.Key.Short(), holders, replicas)
		}
	}
}

// A member that becomes a client hands its records on, and a client that becomes
// a member gets its share. What it provides is found all the time.
func TestRecordsFollowMode(t *testing.T) {
	const nodes, moved, replicas, files = 8, 3, 3, 40
	withRing(t, seeded(88, nodes, pastry.WithReplication(replicas), withRanks), func(t *testing.T, c *testutil.Cluster) {
		var contents []cid.Cid
		var ids []records.ID
		for i := range files {
			content := pastry.ContentCID(t, fmt.Sprint(i))
			provide(t, c.Node(i%nodes), content)
			contents, ids = append(contents, content), append(ids, providerID(content, i%nodes, c))
		}
		time.Sleep(time.Minute)
		checkHolders(t, c, ids, replicas)
		if held := len(pastry.HeldEntries(c.Node(moved))); held < 5 {
			t.Fatalf("the member holds %d records, too few to tell", held)
		}
		checkAllFound := func(when string) {
			t.Helper()
			for i, content := range contents {
				if got := len(find(t, c.Node((i+1)%nodes), content, 0)); got != 1 {
					t.Errorf("%s: %d providers of content %d, want 1", when, got, i)
				}
			}
		}
		for range 2 {
			reach(t, c.Node(moved), network.ReachabilityPrivate, pastry.StateClient)
			checkAllFound("just a client")
			settle(t, c, time.Minute)
			time.Sleep(time.Minute)
			if held := len(pastry.HeldEntries(c.Node(moved))); held > 0 {
				t.Errorf("the client holds %d records", held)
			}
			checkHolders(t, c, ids, replicas)
			info, err := c.Node(0).FindPeer(within(t, 20*time.Second), c.Node(moved).Host().ID())
			if err != nil || !cmp.Equal(info, infosOf(c.Node(moved))[0]) {
				t.Errorf("FindPeer of the client: got %v, %v", info, err)
			}

			reach(t, c.Node(moved), network.ReachabilityPublic, pastry.StateActive)
			checkAllFound("just a member")
			settle(t, c, time.Minute)
			time.Sleep(time.Minute)
			checkHolders(t, c, ids, replicas)
		}
	})
}
