package pastry

import (
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/pb"
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

// HeldValue returns the value of key that the node holds as a replica.
func (n *Node) HeldValue(key string) []byte {
	r, err := n.keeper.held.Value(n.ctx, wallTime(), key)
	if r == nil || err != nil {
		return nil
	}
	return r.Data
}

// HoldValue makes the node hold a value as a replica, without telling others.
func (n *Node) HoldValue(key string, value []byte) {
	now := wallTime()
	r, err := n.keeper.opener.Open(now, &pb.Record{Type: pb.RecordType_RECORD_TYPE_VALUE, Name: []byte(key), Data: value,
		ExpiresMs: uint64(now.Add(valueValidity).UnixMilli())})
	if err == nil {
		err = n.keeper.held.Put(n.ctx, now, records.Batch{Records: []*records.Record{r}})[0]
	}
	if err != nil {
		panic(err)
	}
}
