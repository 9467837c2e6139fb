package pastry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/namespace"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

const (
	recordsApp       = reserved + "records"
	providerValidity = 48 * time.Hour
	replyRoom        = records.ReplyRoom
	maxProviders     = 1024 // in one reply
	maxLocated       = 128  // in one reply
	maxFetched       = records.MaxFetched
)

// The reasons for which a record is refused. Errors of Provide, ProvideMany and
// PutValue wrap them beside ErrNotStored. Each refusal is counted, see
// WithMetrics.
var (
	ErrRecordForged      = records.ErrForged      // malformed, or not signed by the peer it names
	ErrRecordExpired     = records.ErrExpired     // no longer valid
	ErrRecordStale       = records.ErrStale       // a newer or better one is held
	ErrRecordInvalid     = records.ErrInvalid     // the validator of its namespace refuses it
	ErrRecordTooLarge    = records.ErrTooLarge    // beyond RecordLimits
	ErrRecordUnaddressed = records.ErrUnaddressed // no address comes with it
	ErrRecordFull        = records.ErrFull        // a limit of the holders is reached
)

// RecordLimits bound what a node holds for others. Zero means unbounded.
type RecordLimits = records.Limits

// keeper is the application that keeps records: for all as a replica, and for
// this node itself.
type keeper struct {
	n      *Node
	opener *records.Opener
	held   *records.Store // as a replica
	own    *records.Store // what this node provides and has put, announced or not
	upkeep *upkeep
	calls  chan struct{} // a token for each call to a replica under way
	counts recordCounts

	mu  sync.Mutex // guards what follows
	seq uint64     // of the last record of this node's own
}

// maxReplicaCalls is how many calls to replicas one node has under way.
const maxReplicaCalls = 1024

// startRecords opens the stores and registers the keeper.
func (n *Node) startRecords() error {
	o := n.opts
	k := &keeper{n: n, calls: make(chan struct{}, maxReplicaCalls),
		opener: &records.Opener{Validator: o.validator, Limits: o.limits}}
	prefix := ds.NewKey("/pastry").ChildString(string(o.protocol))
	var err error
	if k.held, err = k.open(prefix.ChildString("held"), o.limits); err != nil {
		return err
	}
	if k.own, err = k.open(prefix.ChildString("own"), RecordLimits{}); err != nil {
		return errors.Join(err, k.held.Close())
	}
	k.upkeep = newUpkeep(k)
	n.keeper = k
	if err := n.register(recordsApp, k); err != nil {
		return errors.Join(err, k.close())
	}
	return nil
}

func (k *keeper) open(prefix ds.Key, limits RecordLimits) (*records.Store, error) {
	s, err := records.OpenStore(k.n.ctx, records.StoreConfig{
		Datastore: namespace.Wrap(k.n.opts.store, prefix), Validator: k.opener.Validator, Limits: limits,
	}, wallTime())
	if err != nil {
		return nil, fmt.Errorf("pastry: open the records in the datastore: %w", err)
	}
	return s, nil
}

// refuse counts a record of this node's own that is not stored, and returns the
// error that says so.
func (k *keeper) refuse(err error) error {
	k.counts.refused(err)
	return fmt.Errorf("%w: %w", ErrNotStored, err)
}

// close waits for writes under way. The node's goroutines have ended.
func (k *keeper) close() error { return errors.Join(k.held.Close(), k.own.Close()) }

// wallTime is the time that the validity of records is measured by.
func wallTime() time.Time { return time.Now() }

// Forward lets every message pass.
func (k *keeper) Forward(context.Context, *Message, peer.ID) bool { return true }

// Deliver answers a RecordCall: one that was routed to a key, as its root; one
// that was sent to this node itself, alone.
func (k *keeper) Deliver(ctx context.Context, m *Message) ([]byte, error) {
	var call pb.RecordCall
	if err := unmarshalPayload(m.Payload, &call); err != nil {
		return nil, err
	}
	reply := &pb.RecordReply{}
	var err error
	switch body := call.Body.(type) {
	case *pb.RecordCall_Store:
		var r *pb.StoreReply
		if m.Direct {
			r, err = k.storeHere(ctx, body.Store)
		} else {
			r, err = k.storeForAll(ctx, m.Key, body.Store)
		}
		reply.Body = &pb.RecordReply_Store{Store: r}
	case *pb.RecordCall_Find:
		var r *pb.FindReply
		r, err = k.find(ctx, m, body.Find)
		reply.Body = &pb.RecordReply_Find{Find: r}
	case *pb.RecordCall_Compare:
		var r *pb.CompareReply
		r, err = k.compare(m.Origin, body.Compare)
		reply.Body = &pb.RecordReply_Compare{Compare: r}
	case *pb.RecordCall_Fetch:
		var r *pb.FetchReply
		r, err = k.fetch(ctx, m.Origin, body.Fetch)
		reply.Body = &pb.RecordReply_Fetch{Fetch: r}
	case *pb.RecordCall_Locate:
		var r *pb.LocateReply
		r, err = k.locate(m.Key, int(body.Locate.Count))
		reply.Body = &pb.RecordReply_Locate{Locate: r}
	default:
		return nil, fmt.Errorf("%w: unknown record call", ErrMalformed)
	}
	if err != nil {
		return nil, err
	}
	return proto.Marshal(reply)
}

// storeHere takes in records as one of their replicas.
func (k *keeper) storeHere(ctx context.Context, call *pb.StoreCall) (*pb.StoreReply, error) {
	b := k.openBatch(call.Records, call.Peers)
	s := k.n.sight.Load()
	for i, r := range b.opened {
		if r != nil && (!s.member || !k.upkeep.accepts(r.ID().Key)) {
			b.refuse(i, pb.RecordOutcome_RECORD_OUTCOME_ELSEWHERE)
		}
	}
	k.put(ctx, b)
	return &pb.StoreReply{Outcomes: b.outcomes}, nil
}

// batch is records on their way into the store: those that were opened, nil
// where one was refused, and what became of each.
type batch struct {
	wire     []*pb.Record
	opened   []*records.Record
	peers    []*records.Addresses
	outcomes []pb.RecordOutcome
}

func (b *batch) refuse(i int, o pb.RecordOutcome) { b.opened[i], b.outcomes[i] = nil, o }

// openBatch verifies records and peer records that came over the wire, but for
// provider records that are held already.
func (k *keeper) openBatch(wire []*pb.Record, peers [][]byte) *batch {
	now := wallTime()
	b := &batch{wire: wire, opened: make([]*records.Record, len(wire)), outcomes: make([]pb.RecordOutcome, len(wire))}
	inParallel(len(wire), func(i int) {
		if b.opened[i] = k.known(now, wire[i]); b.opened[i] != nil {
			return
		}
		r, err := k.opener.Open(now, wire[i])
		b.opened[i], b.outcomes[i] = r, records.Outcome(err)
		k.counts.refused(err)
	})
	for _, sealed := range peers {
		a, err := records.OpenAddresses(sealed)
		if err != nil {
			k.counts.refused(err)
			continue
		}
		b.peers = append(b.peers, a)
	}
	return b
}

// known returns a provider record if the very same bytes are held, which saves the
// work of verifying them; otherwise it returns nil.
func (k *keeper) known(now time.Time, m *pb.Record) *records.Record {
	if m.GetType() != pb.RecordType_RECORD_TYPE_PROVIDER {
		return nil
	}
	p := records.ReadProvider(m.Data)
	if p == nil {
		return nil
	}
	id, held := records.NewID(records.TypeProvider, p.Multihash, p.Peer), false
	k.held.View(func(x *records.Index) {
		e, ok := x.Get(id)
		held = ok && e.Version == p.Seq
	})
	if !held {
		return nil
	}
	rs, err := k.held.Fetch(k.n.ctx, now, []records.ID{id})
	if err != nil || len(rs) != 1 || !bytes.Equal(rs[0].Data, m.Data) || !rs[0].Expires.After(now) {
		return nil
	}
	return rs[0]
}

// put stores what is left of a batch and notes what became of it.
func (k *keeper) put(ctx context.Context, b *batch) {
	var at []int
	var in records.Batch
	for i, r := range b.opened {
		if r != nil {
			at, in.Records = append(at, i), append(in.Records, r)
		}
	}
	if len(at) == 0 {
		return
	}
	in.Peers = b.peers
	for j, err := range k.held.Put(ctx, wallTime(), in) {
		if err != nil {
			b.refuse(at[j], records.Outcome(err))
		}
	}
}

// compare answers with what this node holds in some arcs.
func (k *keeper) compare(from peer.ID, call *pb.CompareCall) (reply *pb.CompareReply, err error) {
	if !k.upkeep.vouch(from, call.Arcs) {
		return nil, errElsewhere
	}
	reply = &pb.CompareReply{}
	k.held.View(func(x *records.Index) { reply.Verdicts, err = records.Compare(x, call.Arcs, replyRoom) })
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return reply, nil
}

// fetch answers a member with records by their IDs, as many as fit.
func (k *keeper) fetch(ctx context.Context, from peer.ID, call *pb.FetchCall) (*pb.FetchReply, error) {
	if !k.upkeep.serves(from) {
		return nil, errElsewhere
	}
	ids, err := decodeIDs(call.Ids)
	if err != nil {
		return nil, err
	}
	reply := &pb.FetchReply{}
	p := newPacker(replyRoom)
	for len(ids) > 0 {
		some := ids[:min(len(ids), 256)]
		rs, err := k.held.Fetch(ctx, wallTime(), some)
		if err != nil {
			return nil, err
		}
		packed, err := k.pack(ctx, p, rs)
		if err != nil {
			return nil, err
		}
		if packed < len(rs) { // the rest is for another call
			reply.Done += uint32(idsBefore(some, rs[packed].ID()))
			break
		}
		reply.Done += uint32(len(some))
		ids = ids[len(some):]
	}
	reply.Records, reply.Peers = p.records, p.peers
	if err := k.upkeep.quota.WaitN(ctx, replyRoom-p.room); err != nil {
		return nil, fmt.Errorf("out of repair bandwidth: %w", err)
	}
	k.counts.repairSent.Add(uint64(replyRoom - p.room))
	return reply, nil
}

// locate names the members nearest to a key.
func (k *keeper) locate(key ring.ID, count int) (*pb.LocateReply, error) {
	reply := &pb.LocateReply{}
	err := k.n.do(k.n.ctx, func(r *RawNode) {
		v, all := r.view()
		var places []int
		for c, ok := min(count, maxLocated, len(all)), false; c > 0 && !ok; c-- {
			places, ok = v.AppendReplicas(places[:0], key, c)
		}
		for _, at := range places {
			reply.Members = append(reply.Members, encodeContact(all[at]))
		}
	})
	return reply, err
}

// nextSeq returns the sequence number of a new record of this node's own.
func (k *keeper) nextSeq(now time.Time) uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.seq = max(k.seq+1, uint64(max(0, now.UnixNano())))
	return k.seq
}

// raiseSeq makes the sequence numbers to come larger than one, as the clock may
// have gone back.
func (k *keeper) raiseSeq(seq uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.seq = max(k.seq, seq)
}

func (k *keeper) holdsNothing() bool {
	s := k.held.Stats()
	return s.Providers+s.Values+s.Peers == 0
}
