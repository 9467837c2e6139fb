package pastry

import (
	"context"
	"time"

	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/routing"

	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/pb"
)

// PutValue stores a value under a key such as "/ipns/…" or "/pk/…". It must pass
// the validator of the key's namespace, see WithNamespacedValidator. The value
// is kept on this node and, unless routing.Offline is given, on the members
// nearest to the key: PutValue returns when a majority of them have it in their
// datastores. They forget it 48 hours after the last PutValue of that value.
//
// The error is routing.ErrNotSupported when the namespace has no validator. It
// wraps ErrNotStored when the value is refused, here or by the members, and with
// it ErrRecordInvalid when a validator refuses it, ErrRecordStale when a better
// one is held, or another reason.
func (n *Node) PutValue(ctx context.Context, key string, value []byte, opts ...routing.Option) error {
	o, err := n.valueOptions(key, opts)
	if err != nil {
		return err
	}
	if n.isClosed() {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	now := wallTime()
	r, err := n.keeper.opener.Open(now, &pb.Record{Type: pb.RecordType_RECORD_TYPE_VALUE, Name: []byte(key), Data: value,
		ExpiresMs: uint64(now.Add(valueValidity).UnixMilli())})
	if err != nil {
		return n.keeper.refuse(err)
	}
	// What this node holds as a replica may be newer than what it has put.
	held, err := n.keeper.held.Value(ctx, now, key)
	if err != nil {
		return err
	}
	if held != nil && n.keeper.better(key, held.Data, value) {
		return n.keeper.refuse(ErrRecordStale)
	}
	if err := n.keeper.own.Put(ctx, now, records.Batch{Records: []*records.Record{r}})[0]; err != nil {
		return n.keeper.refuse(err)
	}
	if o.Offline {
		return nil
	}
	return n.storeAtRoot(ctx, r)
}

// valueValidity is how long the members keep a value after it was put.
const valueValidity = 48 * time.Hour

// valueOptions applies the options of a call about a value.
func (n *Node) valueOptions(key string, opts []routing.Option) (*routing.Options, error) {
	var o routing.Options
	if err := o.Apply(opts...); err != nil {
		return nil, err
	}
	if v, ok := n.keeper.opener.Validator.(record.NamespacedValidator); ok && v.ValidatorByKey(key) == nil {
		return nil, routing.ErrNotSupported
	}
	return &o, nil
}

// better reports whether the first of two values of a key, which are both valid,
// is strictly better.
func (k *keeper) better(key string, a, b []byte) bool {
	if string(a) == string(b) {
		return false
	}
	i, err := k.opener.Validator.Select(key, [][]byte{b, a})
	return err == nil && i == 1
}

// GetValue returns the best value of a key that SearchValue finds. The error is
// routing.ErrNotFound when a majority of the members that should hold it have
// said that there is none, and wraps ErrUnsure when that cannot be said.
func (n *Node) GetValue(ctx context.Context, key string, opts ...routing.Option) ([]byte, error) {
	s, err := n.newValueSearch(key, opts)
	if err != nil {
		return nil, err
	}
	s.last = true
	if err := s.run(ctx); err != nil && s.best == nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	if s.best == nil {
		return nil, routing.ErrNotFound
	}
	return s.best, nil
}

// SearchValue returns a channel of ever better values of a key: what this node
// holds, what the replica nearest to it holds, and what the root does, which has
// compared it with the other replicas. The best is written back to replicas that
// turn out to hold a worse one. The channel is closed when there is nothing
// better to be found, also if there was nothing at all; when ctx ends; and when
// the node is closed. A caller that stops reading must cancel ctx.
//
// Quorum, and dht.Quorum of go-libp2p-kad-dht, say how many replicas have to be
// heard: with 1 the first answer is the last. Without, the root answers alone as
// long as it is sure of what it holds. With routing.Offline only this node is
// asked; with routing.Expired a value on it that is no longer valid will do when
// there is no other. The error is routing.ErrNotSupported when the key's
// namespace has no validator.
func (n *Node) SearchValue(ctx context.Context, key string, opts ...routing.Option) (<-chan []byte, error) {
	s, err := n.newValueSearch(key, opts)
	if err != nil {
		return nil, err
	}
	if !n.begin() {
		return nil, ErrClosed
	}
	out := make(chan []byte)
	s.out = out
	go func() {
		defer n.end()
		defer close(out)
		if err := s.run(ctx); err != nil && ctx.Err() == nil {
			log.Debugw("value cannot be looked up", "key", key, "err", err)
		}
	}()
	return out, nil
}
