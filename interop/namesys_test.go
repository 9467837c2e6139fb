package interop_test

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/ipfs/boxo/ipns"
	"github.com/ipfs/boxo/namesys"
	"github.com/ipfs/boxo/path"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"github.com/secondbit/pastry"
)

// pathOf returns a path that a name may point to.
func pathOf(t *testing.T, text string) path.Path {
	t.Helper()
	mh, err := multihash.Sum([]byte(text), multihash.SHA2_256, -1)
	must(t, err)
	return path.FromCid(cid.NewCidV1(cid.Raw, mh))
}

// Names are published and resolved through the router: with the validator of this
// module and with that of boxo, of keys that their name holds and of others.
func TestNamesys(t *testing.T) {
	validators := map[string][]pastry.Option{
		"built in": nil,
		"of boxo":  {pastry.WithNamespacedValidator("ipns", ipns.Validator{})},
	}
	keys := map[string]func() (crypto.PrivKey, error){
		"ed25519": func() (crypto.PrivKey, error) {
			key, _, err := crypto.GenerateEd25519Key(rand.Reader)
			return key, err
		},
		"ecdsa": func() (crypto.PrivKey, error) {
			key, _, err := crypto.GenerateECDSAKeyPair(rand.Reader)
			return key, err
		},
	}
	for validator, opts := range validators {
		for kind, generate := range keys {
			t.Run(validator+"/"+kind, func(t *testing.T) {
				key, err := generate()
				must(t, err)
				checkName(t, key, opts)
			})
		}
	}
}

// checkName publishes a name at one node, then again for another path at another
// node, and resolves it each time at all nodes.
func checkName(t *testing.T, key crypto.PrivKey, opts []pastry.Option) {
	ctx := within(t, 20*time.Second)
	nodes := ring(t, 4, opts...)
	nodes = append(nodes, clients(t, nodes, 1, opts...)...)
	id, err := peer.IDFromPrivateKey(key)
	must(t, err)
	name := ipns.NameFromPeer(id).AsPath()
	if got, err := newNames(t, nodes[1]).Resolve(ctx, name); err == nil {
		t.Errorf("before it is published the name resolves to %v", got.Path)
	}
	store := memory() // of the publisher, which counts up the sequence number
	for i, text := range []string{"first", "second", "third"} {
		publisher, err := namesys.NewNameSystem(nodes[i], namesys.WithDatastore(store))
		must(t, err)
		want := pathOf(t, text)
		must(t, publisher.Publish(ctx, key, want))
		for j, n := range nodes {
			got, err := newNames(t, n).Resolve(ctx, name)
			must(t, err)
			if got.Path.String() != want.String() {
				t.Errorf("node %d resolves the %s path to %v, want %v", j, text, got.Path, want)
			}
		}
	}
}

// newNames returns a name system that has nothing but a node.
func newNames(t *testing.T, n *pastry.Node) namesys.NameSystem {
	t.Helper()
	ns, err := namesys.NewNameSystem(n)
	must(t, err)
	return ns
}

// A record older than the one held is refused.
func TestOlderName(t *testing.T) {
	ctx := within(t, 20*time.Second)
	nodes := ring(t, 3)
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	must(t, err)
	id, err := peer.IDFromPrivateKey(key)
	must(t, err)
	name := ipns.NameFromPeer(id)
	record := func(text string, sequence uint64) []byte {
		r, err := ipns.NewRecord(key, pathOf(t, text), sequence, time.Now().Add(time.Hour), time.Minute)
		must(t, err)
		b, err := ipns.MarshalRecord(r)
		must(t, err)
		return b
	}
	newer := record("newer", 2)
	must(t, nodes[0].PutValue(ctx, string(name.RoutingKey()), newer))
	for i, n := range nodes {
		if err := n.PutValue(ctx, string(name.RoutingKey()), record("older", 1)); err == nil {
			t.Errorf("node %d takes an older record", i)
		}
		got, err := n.GetValue(ctx, string(name.RoutingKey()))
		must(t, err)
		if string(got) != string(newer) {
			t.Errorf("node %d does not get the newer record", i)
		}
	}
}
