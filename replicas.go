package pastry

import (
	"context"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

const (
	writePause = 50 * time.Millisecond // before a replica that failed is tried again; doubles
	chunkSize  = replyRoom / 2         // bytes of records in one call to a replica
)

// storeForAll stores records on their replica sets. It is called at the root of
// the key that the call was routed to, and deals with every record whose replica
// set is in sight. It returns when each is held by a majority of its set, or
// cannot be; the calls to the other replicas go on.
func (k *keeper) storeForAll(ctx context.Context, key ring.ID, call *pb.StoreCall) (*pb.StoreReply, error) {
	s := k.n.sight.Load()
	if !s.member {
		return nil, ErrNotActive
	}
	last, err := s.last(key, k.n.opts.replication).AppendBinary(nil)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok { // the reply has to travel
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)*3/4)
		defer cancel()
	}
	b := k.openBatch(call.Records, call.Peers)
	w := &write{k: k, ctx: ctx, batch: b, peers: call.Peers, done: make(chan written, 64)}
	w.place(s)
	w.run()
	return &pb.StoreReply{Outcomes: b.outcomes, Last: last}, nil
}

// write is records on their way to their replica sets.
type write struct {
	k     *keeper
	ctx   context.Context
	batch *batch
	peers [][]byte
	sets  []placed // of each record of the batch
	tries map[peer.ID]*attempt
	done  chan written
}

// placed is a record's replica set and which of it hold the record.
type placed struct {
	set  []peer.ID
	held []peer.ID
	best pb.RecordOutcome // the last reason that a replica gave for refusing
	need int              // a majority
}

// attempt is what a write knows about one replica.
type attempt struct {
	busy  bool
	pause time.Duration // after the last failure
	again time.Time
	asked map[int]bool // the records it has answered about, by place in the batch
}

// written is the end of a call to a replica.
type written struct {
	peer     peer.ID
	at       []int // places in the batch
	outcomes []pb.RecordOutcome
	err      error
}

// place finds the replica set of each record as s shows it.
func (w *write) place(s *sight) {
	if w.sets == nil {
		w.sets = make([]placed, len(w.batch.wire))
		w.tries = make(map[peer.ID]*attempt)
	}
	for i, r := range w.batch.opened {
		if r == nil {
			continue
		}
		set, ok := s.replicas(ring.FromKey(r.Name), w.k.n.opts.replication)
		if !ok {
			w.batch.refuse(i, pb.RecordOutcome_RECORD_OUTCOME_ELSEWHERE)
			continue
		}
		w.sets[i].set, w.sets[i].need = set, s.count(w.k.n.opts.replication)/2+1
	}
}

// run stores the records here and there until each is held by a majority.
func (w *write) run() {
	w.here()
	seen := w.k.n.sight.Load()
	for !w.decided() {
		if s := w.k.n.sight.Load(); s != seen {
			seen = s
			w.place(s)
			w.here()
			continue
		}
		wait := w.send()
		timer := time.NewTimer(wait)
		select {
		case d := <-w.done:
			w.take(d)
		case <-timer.C:
		case <-w.ctx.Done():
			timer.Stop()
			w.giveUp()
			return
		}
		timer.Stop()
	}
	w.send() // to those that joined a set last
}

// here stores those of the records of which this node is a replica and that it
// does not hold yet. A record of which it is none is for the others alone.
func (w *write) here() {
	self := w.k.n.host.ID()
	mine := &batch{wire: w.batch.wire, peers: w.batch.peers, opened: slices.Clone(w.batch.opened), outcomes: w.batch.outcomes}
	for i, r := range mine.opened {
		p := &w.sets[i]
		if r == nil || !slices.Contains(p.set, self) || slices.Contains(p.held, self) {
			mine.opened[i] = nil
		} else if !w.k.upkeep.accepts(r.ID().Key) { // it is dropping what it holds there
			mine.opened[i] = nil
		}
	}
	stored := slices.Clone(mine.opened)
	w.k.put(w.ctx, mine)
	for i, r := range stored {
		switch {
		case r == nil:
		case mine.opened[i] != nil:
			w.sets[i].held = append(w.sets[i].held, self)
		default:
			w.batch.opened[i] = nil
		}
	}
}

// decided reports whether every record is held by a majority of its present set,
// and takes those out of the batch that no longer can be.
func (w *write) decided() bool {
	all := true
	self := w.k.n.host.ID()
	for i, r := range w.batch.opened {
		if r == nil {
			continue
		}
		p := &w.sets[i]
		held, open := 0, 0
		for _, peer := range p.set {
			if slices.Contains(p.held, peer) {
				held++
			} else if a := w.tries[peer]; peer != self && (a == nil || !a.asked[i]) {
				open++
			}
		}
		switch {
		case held >= p.need:
		case held+open < p.need && p.best == pb.RecordOutcome_RECORD_OUTCOME_OK: // this node itself is in the way
			w.batch.refuse(i, pb.RecordOutcome_RECORD_OUTCOME_TOO_FEW)
		case held+open < p.need:
			w.batch.refuse(i, p.best)
		default:
			all = false
		}
	}
	return all
}

// giveUp marks what has not reached a majority.
func (w *write) giveUp() {
	for i, r := range w.batch.opened {
		if r == nil {
			continue
		}
		held := 0
		for _, peer := range w.sets[i].set {
			if slices.Contains(w.sets[i].held, peer) {
				held++
			}
		}
		if held < w.sets[i].need {
			w.batch.refuse(i, pb.RecordOutcome_RECORD_OUTCOME_TOO_FEW)
		}
	}
}

// send gives every replica that is not being asked what it has not answered
// about. It returns how long to wait before it is called again.
func (w *write) send() time.Duration {
	now, wait := time.Now(), time.Hour
	for p, at := range w.open() {
		a := w.tries[p]
		if a == nil {
			a = &attempt{asked: make(map[int]bool)}
			w.tries[p] = a
		}
		switch {
		case a.busy:
		case now.Before(a.again):
			wait = min(wait, a.again.Sub(now))
		default:
			a.busy = true
			w.call(p, at)
		}
	}
	return wait
}

// open lists for each replica the records that it has not answered about.
func (w *write) open() map[peer.ID][]int {
	self := w.k.n.host.ID()
	out := make(map[peer.ID][]int)
	for i, r := range w.batch.opened {
		if r == nil {
			continue
		}
		for _, p := range w.sets[i].set {
			if a := w.tries[p]; p != self && (a == nil || !a.asked[i]) && !slices.Contains(w.sets[i].held, p) {
				out[p] = append(out[p], i)
			}
		}
	}
	return out
}

// call sends records to a replica, in as many calls as it takes.
func (w *write) call(p peer.ID, at []int) {
	k, batch, peers := w.k, w.batch.wire, w.peers
	done := w.done
	k.n.spawn(func() {
		k.calls <- struct{}{}
		defer func() { <-k.calls }()
		d := written{peer: p, at: at}
		for len(d.outcomes) < len(at) && d.err == nil {
			call := &pb.StoreCall{Peers: peers}
			for room := chunkSize; len(d.outcomes)+len(call.Records) < len(at); {
				r := batch[at[len(d.outcomes)+len(call.Records)]]
				if room -= len(r.Data) + len(r.Name) + overheadPacked; room < 0 && len(call.Records) > 0 {
					break
				}
				call.Records = append(call.Records, r)
			}
			var outcomes []pb.RecordOutcome
			outcomes, d.err = k.storeAt(k.n.ctx, p, call)
			d.outcomes = append(d.outcomes, outcomes...)
		}
		if d.err != nil || slices.ContainsFunc(d.outcomes, func(o pb.RecordOutcome) bool { return refusal(o) != nil }) {
			k.upkeep.doubt(p) // nobody may be left to try again
		}
		select {
		case done <- d:
		case <-w.ctx.Done(): // nobody waits
		}
	})
}

// take notes what a replica has answered.
func (w *write) take(d written) {
	a := w.tries[d.peer]
	a.busy = false
	for j, o := range d.outcomes {
		i := d.at[j]
		switch o {
		case pb.RecordOutcome_RECORD_OUTCOME_OK:
			w.sets[i].held = append(w.sets[i].held, d.peer)
		case pb.RecordOutcome_RECORD_OUTCOME_ELSEWHERE: // it may see the ring differently for a moment
			d.err = errElsewhere
			continue
		default:
			w.sets[i].best = o
		}
		a.asked[i] = true
	}
	if d.err != nil {
		log.Debugw("replica did not store", "peer", d.peer, "err", d.err)
		a.pause = max(writePause, 2*a.pause)
		a.again = time.Now().Add(a.pause)
	}
}

// storeAt has a member store records, and returns what became of each.
func (k *keeper) storeAt(ctx context.Context, p peer.ID, call *pb.StoreCall) ([]pb.RecordOutcome, error) {
	reply, err := k.n.askMember(ctx, p, storeCall(call))
	if err != nil {
		return nil, err
	}
	return outcomesOf(reply, call)
}
