package pastry

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"
	"google.golang.org/protobuf/proto"

	records "github.com/secondbit/pastry/internal/records0"
	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

const (
	recordsApp       = reserved + "records"
	providerValidity = 48 * time.Hour
	maxProviders     = 200 // in one response
)

// recordLimits bound what a node holds for others.
var recordLimits = records.Limits{Keys: 1 << 20, PerKey: 1024, Bytes: 1 << 30}

// keeper is the application that keeps provider records: on the root of a key,
// and on the nodes of its replica set, which the root tells and asks. Records
// are held in memory.
type keeper struct {
	n     *Node
	calls chan struct{} // a token for each call to a replica under way

	mu   sync.Mutex     // guards what follows
	held *records.Store // as a replica
	own  *records.Store // what this node provides, announced or not
	seq  uint64         // of the last record of this node's own
}

// startRecords registers the keeper.
func (n *Node) startRecords() error {
	return n.register(recordsApp, &keeper{
		n:     n,
		calls: make(chan struct{}, maxReplicaCalls),
		held:  records.NewStore(recordLimits),
		own:   records.NewStore(records.Limits{}),
	})
}

// keeper returns the application that startRecords registered.
func (n *Node) keeper() (*keeper, error) {
	select {
	case <-n.closed:
		return nil, ErrClosed
	default:
	}
	if a := n.app(recordsApp); a != nil {
		return a.Application.(*keeper), nil
	}
	return nil, ErrNoApp
}

// wallTime is the time that the validity of records is measured by.
func wallTime() time.Time { return time.Now() }

// Forward lets every message pass.
func (k *keeper) Forward(context.Context, *Message, peer.ID) bool { return true }

// Deliver answers a RecordRequest. One that came to the root of the key is done
// with the other replicas; one that was sent to this node itself, alone.
func (k *keeper) Deliver(ctx context.Context, m *Message) ([]byte, error) {
	var req pb.RecordRequest
	if err := proto.Unmarshal(m.Payload, &req); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if err := records.CheckMultihash(req.Multihash); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	root := m.Key == ring.FromMultihash(req.Multihash)
	if !root && m.Key != k.n.ID() {
		return nil, fmt.Errorf("%w: record request sent to another key", ErrMalformed)
	}
	resp := &pb.RecordResponse{}
	var err error
	switch req.Kind {
	case pb.RecordKind_RECORD_KIND_ADD_PROVIDER:
		resp.Status, err = k.add(ctx, &req, root)
	case pb.RecordKind_RECORD_KIND_GET_PROVIDERS:
		err = k.prepare(ctx, &req, root)
	default:
		err = fmt.Errorf("%w: record request of kind %d", ErrMalformed, req.Kind)
	}
	if err != nil {
		return nil, err
	}
	resp.Providers = k.providers(req.Multihash, req.Limit)
	return proto.Marshal(resp)
}

// add takes in a provider and, on the root, has the other replicas do so.
func (k *keeper) add(ctx context.Context, req *pb.RecordRequest, root bool) (pb.RecordStatus, error) {
	fresh := !k.has(req.Multihash)
	if status := k.hold(req.Multihash, req.Provider); status != pb.RecordStatus_RECORD_STATUS_OK || !root {
		return status, nil
	}
	push := &pb.RecordRequest{Kind: req.Kind, Multihash: req.Multihash, Provider: req.Provider}
	if fresh { // a new root has not heard of earlier providers
		push.Limit = maxProviders
	}
	return pb.RecordStatus_RECORD_STATUS_OK, k.replicate(ctx, push)
}

// prepare makes a root that holds nothing, as it may be new, ask the other
// replicas before it says so.
func (k *keeper) prepare(ctx context.Context, req *pb.RecordRequest, root bool) error {
	if !root || k.has(req.Multihash) {
		return nil
	}
	return k.gather(ctx, &pb.RecordRequest{Kind: req.Kind, Multihash: req.Multihash, Limit: maxProviders})
}

// hold verifies a provider of mh and keeps it.
func (k *keeper) hold(mh multihash.Multihash, p *pb.Provider) pb.RecordStatus {
	r, _, err := k.n.openProvider(mh, p)
	if err != nil {
		return pb.RecordStatus_RECORD_STATUS_REFUSED
	}
	now := wallTime()
	if latest := now.Add(providerValidity); r.Expires.After(latest) {
		r.Expires = latest
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch k.held.Add(now, *r) {
	case records.Expired:
		return pb.RecordStatus_RECORD_STATUS_REFUSED
	case records.Full:
		return pb.RecordStatus_RECORD_STATUS_FULL
	}
	return pb.RecordStatus_RECORD_STATUS_OK
}

// openProvider verifies that p is what its provider said about mh, and returns
// the provider's addresses beside. It counts what is forged. The error wraps
// ErrForged or, for a peer record that is not the provider's, ErrMalformed. The
// record may have expired.
func (n *Node) openProvider(mh multihash.Multihash, p *pb.Provider) (*records.Record, []ma.Multiaddr, error) {
	prov, err := records.OpenProvider(p.GetRecord())
	if err == nil && string(prov.Multihash) != string(mh) {
		err = errors.New("record of another content")
	}
	if err != nil {
		n.drop(DropForged)
		return nil, nil, fmt.Errorf("%w: %w", ErrForged, err)
	}
	addrs, err := recordAddrs(prov.Peer, p.PeerRecord)
	if err != nil {
		n.drop(DropForged)
		return nil, nil, err
	}
	return &records.Record{Provider: *prov, Sealed: p.Record, PeerRecord: p.PeerRecord}, addrs, nil
}

// recordAddrs returns the addresses of a peer record of p after verifying it,
// none if it is empty.
func recordAddrs(p peer.ID, sealed []byte) ([]ma.Multiaddr, error) {
	if len(sealed) == 0 {
		return nil, nil
	}
	pr, err := consumeRecord(p, sealed)
	if err != nil {
		return nil, err
	}
	return pr.Addrs, nil
}

// providers returns up to limit providers held, and no more than fit a
// response.
func (k *keeper) providers(mh multihash.Multihash, limit uint32) []*pb.Provider {
	if limit == 0 {
		return nil
	}
	room := maxPayload - 4<<10
	var out []*pb.Provider
	for _, r := range k.get(mh, int(min(limit, maxProviders))) {
		if room -= len(r.Sealed) + len(r.PeerRecord) + 16; room < 0 {
			break
		}
		out = append(out, &pb.Provider{Record: r.Sealed, PeerRecord: r.PeerRecord})
	}
	return out
}

func (k *keeper) get(mh multihash.Multihash, limit int) []records.Record {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.held.Get(wallTime(), mh, limit)
}

func (k *keeper) has(mh multihash.Multihash) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.held.Has(wallTime(), mh)
}

// provide notes that this node provides mh.
func (k *keeper) provide(mh multihash.Multihash) *records.Provider {
	now := wallTime()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.seq = max(k.seq+1, uint64(max(0, now.UnixNano())))
	p := &records.Provider{Multihash: mh, Peer: k.n.host.ID(), Seq: k.seq, Expires: now.Add(providerValidity)}
	k.own.Add(now, records.Record{Provider: *p})
	return p
}

// provides reports whether this node provides mh.
func (k *keeper) provides(mh multihash.Multihash) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.own.Has(wallTime(), mh)
}
