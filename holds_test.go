package pastry

import (
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"github.com/secondbit/pastry/internal/records"
)

// HoldsProvider reports whether the node holds the record that p provides mh, as
// a replica.
func (n *Node) HoldsProvider(mh multihash.Multihash, p peer.ID) bool {
	return n.holds(records.NewID(records.TypeProvider, mh, p))
}

// HoldsValue reports whether the node holds a value of key as a replica.
func (n *Node) HoldsValue(key string) bool {
	return n.holds(records.NewID(records.TypeValue, []byte(key), ""))
}

func (n *Node) holds(id records.ID) (ok bool) {
	n.keeper.held.View(func(x *records.Index) { _, ok = x.Get(id) })
	return ok
}
