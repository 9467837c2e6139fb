package experiment

import (
	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

// answer answers a call that was sent to this member alone, nil with an error.
func (k *keeper) answer(msg *pastry.Routed, call *pb.RecordCall, why purpose) *pb.RecordReply {
	switch body := call.Body.(type) {
	case *pb.RecordCall_Store:
		return storeReply(k.store(body.Store.Records, why))
	case *pb.RecordCall_Find:
		found := k.find(body.Find)
		found.Heard, found.Complete = 1, k.complete(ring.FromKey(body.Find.Name))
		return findReply(found)
	case *pb.RecordCall_Compare:
		return k.answerCompare(msg.OriginID, body.Compare.Arcs)
	case *pb.RecordCall_Fetch:
		return k.answerFetch(msg.OriginID, body.Fetch.Ids)
	}
	return nil
}

// store takes in records as one of their replicas.
func (k *keeper) store(rs []*pb.Record, why purpose) []pb.RecordOutcome {
	outcomes := make([]pb.RecordOutcome, len(rs))
	for i, r := range rs {
		if k.accepts(k.a.records[k.a.number(r)].id.Key) {
			k.put(r, why)
		} else {
			outcomes[i] = pb.RecordOutcome_RECORD_OUTCOME_ELSEWHERE
		}
	}
	return outcomes
}

// find returns what is held here.
func (k *keeper) find(call *pb.FindCall) *pb.FindReply {
	found := &pb.FindReply{}
	key := ring.FromKey(call.Name)
	k.held.Ascend(records.Arc{First: key, Last: key}, func(e records.Entry) bool {
		found.Records = append(found.Records, k.a.records[e.Tag].wire)
		found.Total++
		return true
	})
	return found
}

// answerCompare tells another member what is held in some arcs, if the other may
// rely on it.
func (k *keeper) answerCompare(from ring.ID, arcs []*pb.Arc) *pb.RecordReply {
	k.look()
	set := make([]records.Arc, len(arcs))
	for i, m := range arcs {
		var err1, err2 error
		set[i].First, err1 = ring.FromBytes(m.First)
		set[i].Last, err2 = ring.FromBytes(m.Last)
		if err1 != nil || err2 != nil {
			k.a.fault("node %d is asked about a malformed arc", k.node)
			return nil
		}
	}
	if k.leaving || !k.knows(from) || !k.policy.Vouch(set...) {
		return nil
	}
	verdicts, err := records.Compare(&k.held, arcs, records.ReplyRoom)
	if err != nil {
		k.a.fault("node %d cannot compare: %v", k.node, err)
		return nil
	}
	return &pb.RecordReply{Body: &pb.RecordReply_Compare{Compare: &pb.CompareReply{Verdicts: verdicts}}}
}

// answerFetch gives a member records by their IDs, as many as fit.
func (k *keeper) answerFetch(from ring.ID, ids []byte) *pb.RecordReply {
	k.look()
	if !k.knows(from) {
		return nil
	}
	reply := &pb.FetchReply{}
	for room := records.ReplyRoom; len(ids) >= records.IDSize; ids = ids[records.IDSize:] {
		id, err := records.IDFromBytes(ids[:records.IDSize])
		if err != nil {
			k.a.fault("node %d is asked for a malformed ID: %v", k.node, err)
			return nil
		}
		if e, held := k.held.Get(id); held {
			r := k.a.records[e.Tag].wire
			if room -= len(r.Data) + overhead; room < 0 {
				break
			}
			reply.Records = append(reply.Records, r)
		}
		reply.Done++
	}
	return &pb.RecordReply{Body: &pb.RecordReply_Fetch{Fetch: reply}}
}

// answerForAll answers a call that was routed to a key, of which this member is
// root, for all replicas. If others have to be asked first, later is true, and
// done is called when they have been.
func (k *keeper) answerForAll(call *pb.RecordCall, done func(*pb.RecordReply)) (now *pb.RecordReply, later bool) {
	k.look()
	if !k.member {
		return nil, false
	}
	switch body := call.Body.(type) {
	case *pb.RecordCall_Store:
		if len(body.Store.Records) != 1 {
			return nil, false
		}
		w := newWriting(k, body.Store.Records[0], func(o pb.RecordOutcome) { done(storeReply([]pb.RecordOutcome{o})) })
		w.again() // soon, as the caller may be this node, and not wait yet
		return nil, true
	case *pb.RecordCall_Find:
		return k.findForAll(body.Find, done)
	}
	return nil, false
}

// findForAll answers for the replica set. A root that is complete, and holds
// something, answers at once; any other hears the others first.
func (k *keeper) findForAll(call *pb.FindCall, done func(*pb.RecordReply)) (now *pb.RecordReply, later bool) {
	key := ring.FromKey(call.Name)
	set, ok := k.replicas(key)
	if !ok {
		return nil, false
	}
	complete := k.complete(key)
	if found := k.find(call); complete && found.Total > 0 {
		found.Heard, found.Complete = 1, true
		return findReply(found), false
	}
	g := &gathering{k: k, call: call, of: k.count(), heard: 1, complete: complete, done: done}
	g.ask(set)
	return nil, true
}

// gathering is a root asking the other replicas what they hold.
type gathering struct {
	k        *keeper
	call     *pb.FindCall
	of       int // replicas that there should be
	left     int // not answered yet
	heard    int
	complete bool
	over     bool
	done     func(*pb.RecordReply)
}

func (g *gathering) ask(set []ring.ID) {
	for _, id := range set {
		if id != g.k.id {
			g.left++
		}
	}
	if g.left == 0 {
		g.k.a.world.After(0, g.end)
		return
	}
	for _, id := range set {
		if id != g.k.id {
			g.k.askMember(id, findCall(g.call.Name), forRead, g.hear)
		}
	}
}

// hear takes in what one replica answers. A majority is enough if one of it is
// complete; otherwise all must be heard.
func (g *gathering) hear(r *pb.RecordReply) {
	g.left--
	if found := r.GetFind(); found != nil {
		g.heard++
		g.complete = g.complete || found.Complete
		for _, rec := range found.Records {
			g.k.put(rec, forRead)
		}
	}
	if g.left == 0 || g.heard >= g.of/2+1 && g.complete {
		g.end()
	}
}

func (g *gathering) end() {
	if g.over || !g.k.up {
		return
	}
	g.over = true
	sure := g.heard >= g.of/2+1 && g.complete || g.heard == g.of
	found := g.k.find(g.call)
	if found.Total == 0 && !sure {
		return // an error: the caller tries again after its timeout
	}
	found.Heard, found.Complete = uint32(g.heard), sure
	g.done(findReply(found))
}

// replicas returns the r members closest to key, closest first; on the root of
// key, while its leaf set is being repaired, fewer, but more than half. It reports
// false when they are out of sight.
func (k *keeper) replicas(key ring.ID) ([]ring.ID, bool) {
	r := k.count()
	for n := r; n > r/2; n-- {
		places, ok := k.seen.AppendReplicas(nil, key, n)
		if !ok {
			if first, ok := k.seen.AppendReplicas(nil, key, 1); !ok || k.seen.IDs[first[0]] != k.id {
				return nil, false
			}
			continue
		}
		set := make([]ring.ID, len(places))
		for i, at := range places {
			set[i] = k.seen.IDs[at]
		}
		return set, true
	}
	return nil, false
}

// count returns how many members hold a record: r, or all if they are fewer.
func (k *keeper) count() int {
	if k.seen.Whole {
		return min(k.a.Replicas, len(k.seen.IDs))
	}
	return k.a.Replicas
}

func storeReply(outcomes []pb.RecordOutcome) *pb.RecordReply {
	return &pb.RecordReply{Body: &pb.RecordReply_Store{Store: &pb.StoreReply{Outcomes: outcomes}}}
}

func findReply(found *pb.FindReply) *pb.RecordReply {
	return &pb.RecordReply{Body: &pb.RecordReply_Find{Find: found}}
}
