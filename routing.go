package pastry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	"github.com/multiformats/go-multihash"

	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

var (
	_ routing.Routing       = (*Node)(nil)
	_ routing.PubKeyFetcher = (*Node)(nil)
)

// ErrNotStored is wrapped by the error of a call whose record is not stored:
// beside it stands the reason for which the members that should hold it refused
// it, or that too few of them could be reached.
var ErrNotStored = errors.New("pastry: record not stored")

// Routers returns the node itself. With it a Node is a ComposableRouter of
// go-libp2p-routing-helpers.
func (n *Node) Routers() []routing.Routing { return []routing.Routing{n} }

// Provide says that this node's host provides the content c, for 48 hours. With
// announce it returns when a majority of the members that keep the record, which
// the host has signed, have it in their datastores; the record then survives
// churn by itself. Without, only this node's own FindProvidersAsync knows, as it
// does when announcing fails. Call it again to prolong it, or use StartProviding,
// and when the host's addresses have changed: others are given those of now. Where
// more hosts provide c than its members keep (see RecordLimits.PerKey), those that
// announced last are kept.
//
// The error is ErrNotActive when the node has not begun to join a ring, and
// wraps ErrNotStored when the record is refused.
func (n *Node) Provide(ctx context.Context, c cid.Cid, announce bool) error {
	if !c.Defined() {
		return errors.New("pastry: Provide: undefined CID")
	}
	mh := c.Hash()
	if err := records.CheckMultihash(mh); err != nil {
		return fmt.Errorf("pastry: Provide %s: %w", c, err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	r, err := n.provideHere(ctx, mh)
	if err != nil || !announce {
		return err
	}
	return n.storeAtRoot(ctx, r)
}

// provideHere signs a record of this node's own and keeps it for its own
// look-ups.
func (n *Node) provideHere(ctx context.Context, mh multihash.Multihash) (*records.Record, error) {
	if n.isClosed() {
		return nil, ErrClosed
	}
	self, err := records.OpenAddresses(n.self.Load().Record)
	if err != nil {
		return nil, err
	}
	r, err := n.putOwn(ctx, mh, self)
	if errors.Is(err, ErrRecordStale) { // the clock has gone back
		if held, _, _ := n.keeper.own.Providers(ctx, wallTime(), mh, 0, 1); len(held) == 1 {
			n.keeper.raiseSeq(held[0].Version)
			r, err = n.putOwn(ctx, mh, self)
		}
	}
	switch {
	case errors.Is(err, ErrRecordUnaddressed) && len(n.host.Addrs()) == 0:
		return nil, fmt.Errorf("%w: the host listens on no address", n.keeper.refuse(err))
	case err != nil:
		return nil, n.keeper.refuse(err)
	}
	return r, nil
}

// putOwn signs a record and stores it among this node's own.
func (n *Node) putOwn(ctx context.Context, mh multihash.Multihash, self *records.Addresses) (*records.Record, error) {
	p := n.providerRecord(mh)
	sealed, err := p.Seal(n.signer.key)
	if err != nil {
		return nil, err
	}
	r := &records.Record{Type: records.TypeProvider, Name: mh, Peer: p.Peer, Version: p.Seq, Expires: p.Expires, Data: sealed}
	return r, n.keeper.own.Put(ctx, wallTime(), records.Batch{Records: []*records.Record{r}, Peers: []*records.Addresses{self}})[0]
}

// providerRecord returns what this node says when it provides mh from now on.
func (n *Node) providerRecord(mh multihash.Multihash) *records.Provider {
	now := wallTime()
	return &records.Provider{Multihash: mh, Peer: n.host.ID(), Seq: n.keeper.nextSeq(now), Expires: now.Add(providerValidity).Truncate(time.Millisecond)}
}

// storeAtRoot has the replica set of a record store it.
func (n *Node) storeAtRoot(ctx context.Context, r *records.Record) error {
	call := &pb.StoreCall{Records: []*pb.Record{r.Encode()}}
	if r.Type == records.TypeProvider {
		call.Peers = [][]byte{n.self.Load().Record}
	}
	outcome, err := n.storeOnce(ctx, r, call)
	for pause := askPause; err == nil && retryStore(outcome) && pause < 8*askPause; pause *= 2 {
		if err = n.pause(ctx, pause); err == nil {
			outcome, err = n.storeOnce(ctx, r, call)
		}
	}
	if app := (*AppError)(nil); errors.As(err, &app) {
		return fmt.Errorf("%w: %w", ErrNotStored, err)
	}
	if err != nil {
		return err
	}
	return storeError(outcome)
}

func (n *Node) storeOnce(ctx context.Context, r *records.Record, call *pb.StoreCall) (pb.RecordOutcome, error) {
	reply, _, err := n.askRoot(ctx, r.ID().Key, storeCall(call))
	if err != nil {
		return 0, err
	}
	if out := reply.GetStore().GetOutcomes(); len(out) == 1 {
		return out[0], nil
	}
	return 0, fmt.Errorf("%w: %w", ErrMalformed, errNoBody)
}

// retryStore reports whether a store that ended so may end better soon.
func retryStore(o pb.RecordOutcome) bool {
	return o == pb.RecordOutcome_RECORD_OUTCOME_ELSEWHERE || o == pb.RecordOutcome_RECORD_OUTCOME_TOO_FEW
}

// storeError returns the error for the outcome of a store, nil if it is stored.
func storeError(o pb.RecordOutcome) error {
	switch o {
	case pb.RecordOutcome_RECORD_OUTCOME_OK:
		return nil
	case pb.RecordOutcome_RECORD_OUTCOME_ELSEWHERE, pb.RecordOutcome_RECORD_OUTCOME_TOO_FEW:
		return fmt.Errorf("%w: too few members that should hold it can be reached", ErrNotStored)
	case pb.RecordOutcome_RECORD_OUTCOME_EXPIRED:
		return fmt.Errorf("%w: %w; does this host's clock run right?", ErrNotStored, ErrRecordExpired)
	}
	return fmt.Errorf("%w: %w", ErrNotStored, records.OutcomeError(o))
}

// FindProvidersAsync looks for peers that provide the content c: first among
// the records on this node, then at the replica nearest to it, or the root. Each
// comes once, with the addresses it signed. The channel is closed when count
// were found, or all there are if count is 0, those that announced last first;
// when ctx ends or the node is closed; and at once when c is undefined. A caller
// that stops reading must cancel ctx.
func (n *Node) FindProvidersAsync(ctx context.Context, c cid.Cid, count int) <-chan peer.AddrInfo {
	out := make(chan peer.AddrInfo)
	if !c.Defined() || !n.begin() {
		close(out)
		return out
	}
	s := &search{n: n, mh: c.Hash(), count: max(0, count), out: out, seen: make(map[peer.ID]bool)}
	go func() {
		defer n.end()
		defer close(out)
		if err := s.run(ctx); err != nil && err != errEnough && ctx.Err() == nil {
			log.Debugw("providers cannot be looked up", "multihash", s.mh, "err", err)
		}
	}()
	return out
}

// search is one FindProvidersAsync.
type search struct {
	n     *Node
	mh    multihash.Multihash
	count int // 0 for all
	out   chan<- peer.AddrInfo
	seen  map[peer.ID]bool
	root  bool // the root is to be asked
}

// searchPages is how many pages of providers a search asks for at most.
const searchPages = 64

// errEnough ends a search that is over.
var errEnough = errors.New("enough providers")

func (s *search) run(ctx context.Context) error {
	if records.CheckMultihash(s.mh) != nil {
		return nil
	}
	if err := s.here(ctx); err != nil {
		return err
	}
	key := records.NewID(records.TypeProvider, s.mh, "").Key
	if len(s.seen) > 0 && s.n.keeper.upkeep.complete(key) {
		return nil // this node is a replica itself
	}
	for offset, page, stale := 0, 0, 0; page < searchPages && stale < 2; page++ {
		call := &pb.FindCall{Type: pb.RecordType_RECORD_TYPE_PROVIDER, Name: s.mh, Offset: uint32(offset), Limit: maxProviders}
		if s.count > 0 {
			call.Limit = uint32(min(maxProviders, s.count+len(s.seen)))
		}
		reply, sure, err := s.ask(ctx, key, call)
		if err != nil {
			return err
		}
		known := len(s.seen)
		good, err := s.take(ctx, reply)
		switch {
		case err != nil:
			return err
		case good == 0 && !sure: // the replica asked says what is not so
			s.root, offset = true, 0
			continue
		case good == 0:
			return nil
		}
		if stale++; len(s.seen) > known {
			stale = 0
		}
		if offset += len(reply.Records); offset >= int(reply.Total) {
			return nil
		}
	}
	return nil
}

// ask looks providers up, and reports whether the root has answered.
func (s *search) ask(ctx context.Context, key ring.ID, call *pb.FindCall) (*pb.FindReply, bool, error) {
	if !s.root {
		if _, reply := s.n.readNear(ctx, key, call); reply != nil {
			return reply, false, nil
		}
	}
	s.root = true // also for what follows
	reply, err := s.n.readRoot(ctx, key, call)
	return reply, true, err
}

// here emits the providers that this node knows.
func (s *search) here(ctx context.Context) error {
	k, now := s.n.keeper, wallTime()
	own, _, err := k.own.Providers(ctx, now, s.mh, 0, 1)
	if err != nil {
		return err
	}
	if len(own) > 0 {
		if err := s.emit(ctx, peer.AddrInfo{ID: s.n.host.ID(), Addrs: s.n.host.Addrs()}); err != nil {
			return err
		}
	}
	held, _, err := k.held.Providers(ctx, now, s.mh, 0, maxProviders)
	if err != nil {
		return err
	}
	addrs, err := k.addressesOf(ctx, held)
	if err != nil {
		return err
	}
	for _, r := range held {
		if a := addrs[r.Peer]; a != nil {
			if err := s.emit(ctx, peer.AddrInfo{ID: r.Peer, Addrs: a.Addrs}); err != nil {
				return err
			}
		}
	}
	return nil
}

// take emits the providers of a reply that verify, and returns how many they are.
func (s *search) take(ctx context.Context, reply *pb.FindReply) (good int, err error) {
	b := s.n.keeper.openBatch(reply.Records, reply.Peers)
	addrs := make(map[peer.ID]*records.Addresses)
	for _, a := range b.peers {
		addrs[a.Peer] = a
	}
	for _, r := range b.opened {
		switch {
		case r == nil:
			continue
		case r.Type != records.TypeProvider || string(r.Name) != string(s.mh):
			s.n.keeper.counts.refused(ErrRecordForged)
			continue
		case addrs[r.Peer] == nil || len(addrs[r.Peer].Addrs) == 0:
			s.n.keeper.counts.refused(ErrRecordUnaddressed)
			continue
		case s.n.opts.limits.Addrs > 0 && len(addrs[r.Peer].Addrs) > s.n.opts.limits.Addrs:
			s.n.keeper.counts.refused(ErrRecordTooLarge)
			continue
		}
		if err := s.emit(ctx, peer.AddrInfo{ID: r.Peer, Addrs: addrs[r.Peer].Addrs}); err != nil {
			return good, err
		}
		good++
	}
	return good, nil
}

// emit sends a provider, unless it was sent before or has no address. It returns
// an error when no more are wanted.
func (s *search) emit(ctx context.Context, info peer.AddrInfo) error {
	if s.seen[info.ID] || len(info.Addrs) == 0 {
		return nil
	}
	s.n.tellFound(ctx, routing.Provider, info)
	select {
	case s.out <- info:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.n.closed:
		return ErrClosed
	}
	s.seen[info.ID] = true
	if s.count > 0 && len(s.seen) >= s.count {
		return errEnough
	}
	return nil
}
