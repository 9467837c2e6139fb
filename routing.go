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
	"google.golang.org/protobuf/proto"

	records "github.com/secondbit/pastry/internal/records0"
	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

var _ routing.ContentRouting = (*Node)(nil)

// ErrNotStored is returned when the members that should hold a record refused
// it or had no room for it.
var ErrNotStored = errors.New("pastry: record not stored")

const (
	askTries   = 4
	askTimeout = 10 * time.Second       // of one try
	askPause   = 100 * time.Millisecond // after the first try; doubles
)

// Provide says that this node's host provides the content c, for 48 hours. With
// announce it returns when the root of c's multihash, and a majority of those
// of its replicas that can be reached, hold the record, which the host has
// signed. Without, only this node's own FindProvidersAsync knows, as it does
// when announcing fails. Call it again to prolong it.
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
	k, err := n.keeper()
	if err != nil {
		return err
	}
	p := k.provide(mh)
	if !announce {
		return nil
	}
	return n.announce(ctx, p)
}

// announce sends a signed record to the root of its key.
func (n *Node) announce(ctx context.Context, p *records.Provider) error {
	sealed, err := p.Seal(n.signer.key)
	if err != nil {
		return err
	}
	resp, err := n.askRoot(ctx, &pb.RecordRequest{
		Kind:      pb.RecordKind_RECORD_KIND_ADD_PROVIDER,
		Multihash: p.Multihash,
		Provider:  &pb.Provider{Record: sealed, PeerRecord: n.self.Load().Record},
	})
	if app := (*AppError)(nil); errors.As(err, &app) {
		return fmt.Errorf("%w: %w", ErrNotStored, err)
	}
	if err != nil {
		return err
	}
	switch resp.Status {
	case pb.RecordStatus_RECORD_STATUS_OK:
		return nil
	case pb.RecordStatus_RECORD_STATUS_FULL:
		return fmt.Errorf("%w: the root has no room", ErrNotStored)
	}
	return fmt.Errorf("%w: the root refused it; does this host's clock run right?", ErrNotStored)
}

// askRoot routes a request to the root of its multihash. It tries again while
// that may help: requests can be repeated without harm.
func (n *Node) askRoot(ctx context.Context, req *pb.RecordRequest) (*pb.RecordResponse, error) {
	payload, err := proto.Marshal(req)
	if err != nil {
		return nil, err
	}
	pause := askPause
	for try := 1; ; try++ {
		resp, err := n.askOnce(ctx, ring.FromMultihash(req.Multihash), payload)
		if err == nil || try == askTries || n.State() == StateIdle || ctx.Err() != nil {
			return resp, err
		}
		log.Debugw("the root did not answer", "try", try, "err", err)
		if err := n.pause(ctx, pause); err != nil {
			return nil, err
		}
		pause *= 2
	}
}

func (n *Node) askOnce(ctx context.Context, key ring.ID, payload []byte) (*pb.RecordResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	r, err := n.Route(ctx, recordsApp, key, payload)
	if err != nil {
		return nil, err
	}
	var resp pb.RecordResponse
	if err := proto.Unmarshal(r.Reply, &resp); err != nil {
		return nil, fmt.Errorf("%w: reply of %s: %w", ErrMalformed, r.Root, err)
	}
	return &resp, nil
}

// pause waits for d, or until there is no point in waiting.
func (n *Node) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-n.closed:
		return ErrClosed
	}
}

// FindProvidersAsync looks for peers that provide the content c: first among
// the records on this node, then at the root of c's multihash. Each comes once,
// with the addresses it signed. The channel is closed when count were found, or
// all that the root named if count is 0 (it names 200 at most, the newest); when
// ctx ends or the node is closed; and at once when c is undefined. A caller
// that stops reading must cancel ctx.
func (n *Node) FindProvidersAsync(ctx context.Context, c cid.Cid, count int) <-chan peer.AddrInfo {
	out := make(chan peer.AddrInfo)
	k, err := n.keeper()
	if err != nil || !c.Defined() || !n.begin() {
		close(out)
		return out
	}
	s := &search{n: n, mh: c.Hash(), count: max(0, count), out: out, seen: make(map[peer.ID]bool)}
	go func() {
		defer n.end()
		defer close(out)
		s.run(ctx, k)
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
}

func (s *search) run(ctx context.Context, k *keeper) {
	if !s.here(ctx, k) || ctx.Err() != nil || records.CheckMultihash(s.mh) != nil {
		return
	}
	limit := maxProviders
	if s.count > 0 {
		limit = min(limit, s.count+len(s.seen))
	}
	resp, err := s.n.askRoot(ctx, &pb.RecordRequest{
		Kind:      pb.RecordKind_RECORD_KIND_GET_PROVIDERS,
		Multihash: s.mh,
		Limit:     uint32(limit),
	})
	if err != nil {
		log.Debugw("providers cannot be looked up", "multihash", s.mh, "err", err)
		return
	}
	for _, p := range resp.Providers {
		r, addrs, err := s.n.openProvider(s.mh, p)
		if err != nil || !r.Expires.After(wallTime()) {
			continue
		}
		if !s.emit(ctx, peer.AddrInfo{ID: r.Peer, Addrs: addrs}) {
			return
		}
	}
}

// here emits the providers that this node knows. It reports false when no more
// are wanted.
func (s *search) here(ctx context.Context, k *keeper) bool {
	if k.provides(s.mh) && !s.emit(ctx, peer.AddrInfo{ID: s.n.host.ID(), Addrs: s.n.host.Addrs()}) {
		return false
	}
	for _, r := range k.get(s.mh, 0) {
		addrs, err := recordAddrs(r.Peer, r.PeerRecord)
		if err == nil && !s.emit(ctx, peer.AddrInfo{ID: r.Peer, Addrs: addrs}) {
			return false
		}
	}
	return true
}

// emit sends a provider, unless it was sent before. It reports false when no
// more are wanted.
func (s *search) emit(ctx context.Context, info peer.AddrInfo) bool {
	if s.seen[info.ID] {
		return true
	}
	select {
	case s.out <- info:
	case <-ctx.Done():
		return false
	case <-s.n.closed:
		return false
	}
	s.seen[info.ID] = true
	return s.count == 0 || len(s.seen) < s.count
}
