package pastry

import (
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"

	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/pb"
)

// valueSearch is one GetValue or SearchValue.
type valueSearch struct {
	n      *Node
	key    string
	opts   *routing.Options
	quorum int           // replicas to be heard; 0 leaves it to the root
	out    chan<- []byte // nil for GetValue
	last   bool          // only the best of all is wanted
	best   []byte
	found  *records.Record // that has best, nil if best is no longer valid
	from   valuePlace      // of found
	heard  []heardValue
}

// heardValue is what a place where a value is held, or should be, has said.
type heardValue struct {
	place valuePlace
	peer  peer.ID // of a replica
	value []byte  // nil if there was none
}

// valuePlace is where a value may be held.
type valuePlace uint8

const (
	placeOwn     valuePlace = iota // among what this node has put
	placeHeld                      // here, as a replica
	placeReplica                   // at another one
	placeRoot                      // at the root, which speaks for all
)

func (n *Node) newValueSearch(key string, opts []routing.Option) (*valueSearch, error) {
	o, err := n.valueOptions(key, opts)
	if err != nil {
		return nil, err
	}
	if n.isClosed() {
		return nil, ErrClosed
	}
	s := &valueSearch{n: n, key: key, opts: o}
	if q, given := quorumOf(o); given {
		if s.quorum = q; q == 0 {
			s.quorum = n.opts.replication // all
		}
	}
	return s, nil
}

func (s *valueSearch) run(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.here(ctx); err != nil {
		return err
	}
	var err error
	if !s.opts.Offline {
		if err = s.network(ctx); err == nil {
			s.writeBack()
		}
	}
	if s.best == nil && s.opts.Expired && ctx.Err() == nil {
		return s.expired(ctx)
	}
	return err
}

// here takes what this node holds.
func (s *valueSearch) here(ctx context.Context) error {
	for place, store := range []*records.Store{placeOwn: s.n.keeper.own, placeHeld: s.n.keeper.held} {
		r, err := store.Value(ctx, wallTime(), s.key)
		if err != nil {
			return err
		}
		if r != nil {
			if err := s.take(ctx, heardValue{place: valuePlace(place)}, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// network asks the nearest replica, if its answer is wanted, and the root.
func (s *valueSearch) network(ctx context.Context) error {
	call := &pb.FindCall{Type: pb.RecordType_RECORD_TYPE_VALUE, Name: []byte(s.key), Quorum: uint32(s.quorum)}
	key := records.NewID(records.TypeValue, call.Name, "").Key
	if !s.last || s.quorum == 1 {
		if p, reply := s.n.readNear(ctx, key, call); reply != nil {
			if found, err := s.answer(ctx, heardValue{place: placeReplica, peer: p}, reply); err != nil || found && s.quorum == 1 {
				return err
			}
		}
	}
	reply, err := s.n.readRoot(ctx, key, call)
	if err != nil {
		return err
	}
	found, err := s.answer(ctx, heardValue{place: placeRoot}, reply)
	if !found && err == nil {
		s.heard = append(s.heard, heardValue{place: placeRoot})
		if reply.Total > 0 {
			return fmt.Errorf("%w: the root holds a value that is not valid here: %w", ErrUnsure, ErrRecordInvalid)
		}
	}
	return err
}

// answer takes the value of a reply, and reports whether it is valid.
func (s *valueSearch) answer(ctx context.Context, from heardValue, reply *pb.FindReply) (bool, error) {
	for _, r := range s.n.keeper.openBatch(reply.Records, nil).opened {
		if r == nil {
			continue
		}
		if r.Type == records.TypeValue && string(r.Name) == s.key {
			return true, s.take(ctx, from, r)
		}
		s.n.keeper.counts.refused(ErrRecordForged)
	}
	return false, nil
}

// take notes a valid value, and emits it if it is better than those before.
func (s *valueSearch) take(ctx context.Context, from heardValue, r *records.Record) error {
	from.value = r.Data
	s.heard = append(s.heard, from)
	if s.best != nil && !s.n.keeper.better(s.key, r.Data, s.best) {
		return nil
	}
	s.found, s.from = r, from.place
	return s.emit(ctx, r.Data)
}

func (s *valueSearch) emit(ctx context.Context, value []byte) error {
	s.best = value
	s.n.tellValue(ctx, value)
	if s.out == nil {
		return nil
	}
	select {
	case s.out <- value:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.n.closed:
		return ErrClosed
	}
}

// writeBack gives the best value to those heard that hold a worse one, or should
// hold one and do not: but what was put here alone stays here, as long as there is
// none elsewhere. It does not wait for them.
func (s *valueSearch) writeBack() {
	if s.found == nil {
		return
	}
	n, best := s.n, s.found
	for _, h := range s.heard {
		switch {
		case h.place == placeOwn:
			continue
		case h.value == nil && s.from == placeOwn:
			continue
		case h.value != nil && !n.keeper.better(s.key, best.Data, h.value):
			continue
		}
		n.spawn(func() {
			if err := n.writeBack(h, best); err != nil {
				log.Debugw("value not written back", "key", s.key, "err", err)
				return
			}
			n.keeper.counts.writtenBack.Add(1)
		})
	}
}

// writeBack stores a value where a worse one was heard.
func (n *Node) writeBack(h heardValue, best *records.Record) error {
	ctx, cancel := context.WithTimeout(n.ctx, defaultTimeout)
	defer cancel()
	switch h.place {
	case placeHeld:
		return n.keeper.held.Put(ctx, wallTime(), records.Batch{Records: []*records.Record{best}})[0]
	case placeReplica:
		return n.keeper.giveBack(ctx, h.peer, best.Encode())
	}
	return n.storeAtRoot(ctx, best)
}

// expired takes a value that was valid when it came here.
func (s *valueSearch) expired(ctx context.Context) error {
	id := records.NewID(records.TypeValue, []byte(s.key), "")
	for _, store := range []*records.Store{s.n.keeper.own, s.n.keeper.held} {
		rs, err := store.Fetch(ctx, time.Time{}, []records.ID{id})
		if err != nil {
			return err
		}
		if len(rs) == 1 {
			return s.emit(ctx, rs[0].Data)
		}
	}
	return nil
}
