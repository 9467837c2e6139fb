package pastry

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"

	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

// RecordsApp is the application that keeps records.
const RecordsApp = recordsApp

// AskMember sends a record call to one member.
func AskMember(ctx context.Context, n *Node, p peer.ID, call *pb.RecordCall) (*pb.RecordReply, error) {
	return n.askMember(ctx, p, call)
}

// AskRoot routes a record call to the root of a key.
func AskRoot(ctx context.Context, n *Node, key ring.ID, call *pb.RecordCall) (*pb.RecordReply, error) {
	reply, _, err := n.askRoot(ctx, key, call)
	return reply, err
}

// StoreAtRoot has a record stored like one of the node's own.
func StoreAtRoot(ctx context.Context, n *Node, r *records.Record) error { return n.storeAtRoot(ctx, r) }

// ReplaceKeeper makes another application answer the record calls to a node.
// The node goes on comparing its records with those of others.
func ReplaceKeeper(n *Node, a Application) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.apps[recordsApp] = &app{Application: a, running: make(chan struct{}, maxRunning)}
}

// Keeper returns the application that keeps the records of a node.
func Keeper(n *Node) Application { return n.keeper }

// HeldEntries returns what a node holds as a replica, in the order of the ring.
func HeldEntries(n *Node) []records.Entry {
	var es []records.Entry
	n.keeper.held.View(func(x *records.Index) {
		x.Ascend(records.WholeRing, func(e records.Entry) bool {
			es = append(es, e)
			return true
		})
	})
	return es
}

// Holds reports whether a node holds a record as a replica.
func Holds(n *Node, id records.ID) (held bool) {
	n.keeper.held.View(func(x *records.Index) { _, held = x.Get(id) })
	return held
}

// Forget makes a node lose all that it holds as a replica, as if it had just
// become one, without comparing it with others.
func Forget(ctx context.Context, n *Node) error {
	var items []records.Item
	for _, e := range HeldEntries(n) {
		items = append(items, e.Item())
	}
	return n.keeper.held.Drop(ctx, items)
}

// Complete reports whether a node has compared what it holds of a key with the
// other replicas.
func Complete(n *Node, key ring.ID) bool { return n.keeper.upkeep.complete(key) }

// Crowd makes a node hold records of so many providers of one content, each of
// which has so many addresses. It returns the providers.
func Crowd(t testing.TB, n *Node, mh multihash.Multihash, providers, addrs int) []peer.ID {
	t.Helper()
	var where []ma.Multiaddr
	for i := range addrs {
		where = append(where, ma.StringCast(fmt.Sprintf("/dns4/a-host-with-a-rather-long-name-%d.example.net/tcp/4001", i)))
	}
	var ps []peer.ID
	for i := range providers {
		seed := sha256.Sum256(fmt.Appendf(nil, "provider %d", i))
		key, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(seed[:]))
		if err != nil {
			t.Fatal(err)
		}
		p := n.providerRecord(mh)
		if p.Peer, err = peer.IDFromPrivateKey(key); err != nil {
			t.Fatal(err)
		}
		record, err := p.Seal(key)
		if err != nil {
			t.Fatal(err)
		}
		address, err := sealRecord(key, p.Peer, where, p.Seq)
		if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p.Peer)
		b := n.keeper.openBatch([]*pb.Record{{Type: pb.RecordType_RECORD_TYPE_PROVIDER, Data: record}}, [][]byte{address})
		n.keeper.put(t.Context(), b)
		if b.outcomes[0] != pb.RecordOutcome_RECORD_OUTCOME_OK {
			t.Fatalf("provider %d: %v", i, b.outcomes[0])
		}
	}
	return ps
}

// Publish has the peer record of a client stored.
func Publish(ctx context.Context, n *Node) error { return n.publishOnce(ctx) }
