package experiment

import (
	"slices"
	"time"

	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

const (
	// writeTime is what a root has to reach a majority: three quarters of the time
	// that the call has, as the reply must travel.
	writeTime  = records.AskTimeout * 3 / 4
	writePause = 50 * time.Millisecond // before a replica that failed is tried again; doubles
)

// writing is a record on its way from the root of its key to its replicas. It is
// over when a majority of them holds the record, or cannot.
type writing struct {
	k        *keeper
	wire     *pb.Record
	key      ring.ID
	deadline time.Duration
	need     int       // a majority
	set      []ring.ID // as the root sees it
	held     []ring.ID // which of them, or of those that were, hold it
	tries    []*attempt
	finish   func(pb.RecordOutcome)
	over     bool
	due      bool // step is to be called soon
}

// attempt is what a writing knows about one replica.
type attempt struct {
	id    ring.ID
	busy  bool
	pause time.Duration // after the last failure
	again time.Duration // when to try again
}

func newWriting(k *keeper, r *pb.Record, finish func(pb.RecordOutcome)) *writing {
	w := &writing{k: k, wire: r, key: k.a.records[k.a.number(r)].id.Key, deadline: k.a.world.Now() + writeTime, finish: finish}
	k.writes = append(k.writes, w)
	k.a.world.After(writeTime, w.step)
	return w
}

// again has the writing look at the replica set anew, as that may have changed.
func (w *writing) again() {
	if !w.due {
		w.due = true
		w.k.a.world.After(0, func() {
			w.due = false
			w.step()
		})
	}
}

// step stores the record here and there until a majority holds it.
func (w *writing) step() {
	if w.over || !w.k.up {
		return
	}
	set, ok := w.k.replicas(w.key)
	if !ok {
		w.end(pb.RecordOutcome_RECORD_OUTCOME_ELSEWHERE)
		return
	}
	w.set, w.need = set, w.k.count()/2+1
	w.here()
	switch held, open := w.stand(); {
	case held >= w.need:
		w.send() // to those that joined the set last
		w.end(pb.RecordOutcome_RECORD_OUTCOME_OK)
	case held+open < w.need || w.k.a.world.Now() >= w.deadline:
		w.end(pb.RecordOutcome_RECORD_OUTCOME_TOO_FEW)
	default:
		w.send()
	}
}

func (w *writing) end(o pb.RecordOutcome) {
	w.over = true
	w.k.writes = slices.DeleteFunc(w.k.writes, func(x *writing) bool { return x == w })
	w.finish(o)
}

// here stores the record at the root itself, if that is a replica and not about
// to drop what it holds there.
func (w *writing) here() {
	if id := w.k.id; slices.Contains(w.set, id) && !slices.Contains(w.held, id) && w.k.accepts(w.key) {
		w.k.put(w.wire, forWrite)
		w.held = append(w.held, id)
	}
}

// stand returns how many of the set hold the record and how many still may.
func (w *writing) stand() (held, open int) {
	for _, id := range w.set {
		if slices.Contains(w.held, id) {
			held++
		} else if id != w.k.id {
			open++
		}
	}
	return held, open
}

// send gives the record to every replica that is not being asked and does not
// hold it.
func (w *writing) send() {
	now := w.k.a.world.Now()
	for _, id := range w.set {
		if id == w.k.id || slices.Contains(w.held, id) {
			continue
		}
		if t := w.try(id); !t.busy && t.again <= now {
			w.call(t)
		}
	}
}

func (w *writing) try(id ring.ID) *attempt {
	for _, t := range w.tries {
		if t.id == id {
			return t
		}
	}
	t := &attempt{id: id}
	w.tries = append(w.tries, t)
	return t
}

func (w *writing) call(t *attempt) {
	t.busy = true
	w.k.askMember(t.id, storeCall([]*pb.Record{w.wire}), forWrite, func(r *pb.RecordReply) {
		t.busy = false
		if outcomes := r.GetStore().GetOutcomes(); len(outcomes) == 1 && !refused(outcomes[0]) {
			w.held = append(w.held, t.id)
			w.again()
			return
		}
		w.k.doubt(t.id) // nobody may be left to try again
		t.pause = max(writePause, 2*t.pause)
		t.again = w.k.a.world.Now() + t.pause
		w.k.a.world.After(t.pause, w.step)
	})
}

// write has a random member store a record through the ring.
func (a *archive) write(rec int) {
	from := a.world.RandomActive()
	if from < 0 {
		a.written++
		return
	}
	doc := &a.records[rec]
	a.askRoot(from, doc.id.Key, storeCall([]*pb.Record{doc.wire}), forWrite, func(r *pb.RecordReply, _ ring.ID) {
		a.written++
		if outcomes := r.GetStore().GetOutcomes(); len(outcomes) == 1 && !refused(outcomes[0]) {
			a.acked++
			a.copies.of[rec].acked = true
		}
	})
}

// reading counts what became of look-ups.
type reading struct {
	found  int
	missed int // the root said that there is none
	failed int // nobody could say, after all tries
}

func (r reading) all() int { return r.found + r.missed + r.failed }

// browse looks up random records, each from a random member.
func (a *archive) browse() {
	if a.Reads <= 0 {
		return
	}
	a.world.After(time.Duration(a.rng.ExpFloat64()/a.Reads*float64(time.Second)), func() {
		if a.copies.watching {
			a.read(a.rng.IntN(a.Records))
		}
		if !a.pop.calm {
			a.browse()
		}
	})
}

// read looks up a record at the root of its key, as long as it is known to be
// there.
func (a *archive) read(rec int) {
	from := a.world.RandomActive()
	if from < 0 || !a.copies.of[rec].acked {
		return
	}
	doc := &a.records[rec]
	a.askRoot(from, doc.id.Key, findCall(doc.name), forRead, func(r *pb.RecordReply, _ ring.ID) {
		switch found := r.GetFind(); {
		case found == nil:
			a.reads.failed++
		case found.Total > 0:
			a.reads.found++
		case a.copies.of[rec].live > 0:
			a.reads.missed++
			a.incident("node %d was told that record %d does not exist, which has %d copies", from, rec, a.copies.of[rec].live)
		default:
			a.reads.failed++ // it is lost, and counts as such
		}
	})
}
