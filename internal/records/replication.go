package records

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/secondbit/pastry/ring"
)

// ReplicationConfig has the settings of a Replication. Zero means the default.
type ReplicationConfig struct {
	Self ring.ID
	// Rand spreads tasks over time. It must be set, and used by nobody else.
	Rand *rand.Rand
	// Replicas is the number of members that hold a record, 8 by default. With
	// one, the records of a member that crashes are gone until it comes back, and
	// a member that joins lacks its records until they are handed to it.
	Replicas int
	// Period is how often a member compares what it shares with another though it
	// knows of no reason to, 10 minutes by default.
	Period time.Duration
	// Backoff is the pause after a task has failed, 1 second by default. It
	// doubles with every further failure up to MaxBackoff, 1 minute by default.
	Backoff, MaxBackoff time.Duration
	// Settle is how long the view must have stood still before records are handed
	// over, so that the others see what this member sees, 5 seconds by default.
	Settle time.Duration
}

const (
	spread    = 200 * time.Millisecond // over which what is due at once is spread
	lookEvery = time.Minute            // between searches for records to hand over
	hopeless  = 6                      // failures in a row after which Complete does without a peer
)

// Replication is the policy by which a member keeps its records where they
// belong: on the r live members closest to the key. It says with whom to compare
// what, and which records to hand over. It does neither: a driver takes tasks
// from Next, carries them out beside each other, and reports each to Done.
//
// A member compares the keys that it shares with another, their share, as soon
// as it sees that the share has grown beyond what the two have compared, and now
// and then; and also what both shared with one that is gone, which may have left
// writes half done. Each side does so for itself. It keeps what it is no replica of until
// all r members that are have confirmed that they hold it. They are closer to the
// key, so that of all that ever held a record the r closest never drop it,
// however much their views differ.
//
// A Replication is not safe for concurrent use and holds no clock: all its times
// come from its callers and must not go back.
type Replication struct {
	cfg        ReplicationConfig
	viewed     bool // SetView was called
	member     bool
	members    members
	own        arcSet // keys of which this member is a replica
	sees       bool   // the view shows own
	neighbours []neighbour
	running    []*run
	serial     uint64
	hand       handing
}

// neighbour is a member with which keys are shared.
type neighbour struct {
	id       ring.ID
	share    arcSet
	synced   arcSet // the part of the share that was compared since it was shared
	due      time.Time
	failures int  // in a row, since the view changed
	doubtful bool // it failed to store a record since the last comparison began
}

// inSync reports whether all that is shared was compared.
func (n *neighbour) inSync() bool { return n.share.within(n.synced) }

// NewReplication returns the policy of a member that sees nobody yet. Nothing is
// due before SetView.
func NewReplication(cfg ReplicationConfig) *Replication {
	defaults := []struct {
		d        *time.Duration
		standard time.Duration
	}{
		{&cfg.Period, 10 * time.Minute}, {&cfg.Backoff, time.Second}, {&cfg.MaxBackoff, time.Minute}, {&cfg.Settle, 5 * time.Second},
	}
	for _, f := range defaults {
		if *f.d == 0 {
			*f.d = f.standard
		}
	}
	if cfg.Replicas == 0 {
		cfg.Replicas = 8
	}
	return &Replication{cfg: cfg, members: members{self: -1, replicas: cfg.Replicas}}
}

// SetView tells what this member sees of the ring, itself included. It is called
// whenever that changes; a view like the last one changes nothing. If member is
// false, this node is not or no longer part of the ring: then nothing is due
// but to hand everything that it holds to the others in the view, at once.
func (p *Replication) SetView(now time.Time, v ring.View, member bool) {
	m := newMembers(v, p.cfg.Self, member, p.cfg.Replicas)
	if p.viewed && member == p.member && m.equal(p.members) {
		return
	}
	p.viewed, p.member, p.members = true, member, m
	p.own, p.sees = m.own()
	lost := p.meet(now)
	for _, r := range p.running {
		r.see(p, lost)
	}
	p.hand.view(now, p.cfg.Settle, member)
}

// meet brings the neighbours up to date with the view: new ones and those with
// which more is shared are due soon, those of which nothing is shared are
// forgotten, and so are failures. It returns the keys that were shared with
// members that are gone.
func (p *Replication) meet(now time.Time) (lost arcSet) {
	for i := range p.neighbours {
		if n := &p.neighbours[i]; p.members.view.Index(n.id) < 0 {
			lost = lost.union(n.share)
		}
	}
	var met []neighbour
	for place, id := range p.members.view.IDs {
		share := p.members.shared(place)
		if len(share) == 0 {
			continue
		}
		soon := p.soon(now)
		n := neighbour{id: id, share: share, due: soon}
		if old := p.neighbour(id); old != nil {
			n.synced, n.due, n.doubtful = old.synced.intersect(share).minus(lost), old.due, old.doubtful
			if old.failures > 0 || !n.inSync() {
				n.due = earlier(n.due, soon)
			}
		}
		met = append(met, n)
	}
	p.neighbours = met
	return lost
}

func (p *Replication) neighbour(id ring.ID) *neighbour {
	if i := slices.IndexFunc(p.neighbours, func(n neighbour) bool { return n.id == id }); i >= 0 {
		return &p.neighbours[i]
	}
	return nil
}

// Complete reports whether this member holds, of a key, all records that were
// acknowledged: whether it is a replica and has compared its records with all
// other replicas since they are. It does without those that fail for a minute,
// as long as it and the rest are a majority.
func (p *Replication) Complete(key ring.ID) bool {
	var buf [32]int
	places, ok := p.members.view.AppendReplicas(buf[:0], key, p.cfg.Replicas)
	if !ok || !slices.Contains(places, p.members.self) {
		return false
	}
	synced := 0
	for _, place := range places {
		if place == p.members.self {
			continue
		}
		n := p.neighbour(p.members.view.IDs[place])
		switch {
		case n == nil:
			return false
		case n.synced.contains(key):
			synced++
		case n.failures < hopeless:
			return false
		}
	}
	return synced >= len(places)/2
}

// Accepts reports whether this member takes a record that is sent to it alone: if
// it sees fewer than r + r/2 members, rounded up, that are closer to the key, so that it is a
// replica or nearly so. If it does, it [Replication.Vouch]es for the key.
func (p *Replication) Accepts(key ring.ID) bool {
	k := p.cfg.Replicas
	return p.members.mayBeAmong(key, k+(k+1)/2) && p.Vouch(Arc{First: key, Last: key})
}

// Vouch reports whether this member may tell another what it holds in some arcs,
// on which the other may rely when it drops its own. It may not unless it is a
// member, nor while it drops records there itself. What it is handing over there
// it will not drop before it has asked anew. So Vouch is called before each
// answer to a comparison, about the arcs compared, and its answer is to be
// heeded: the other is told ELSEWHERE.
func (p *Replication) Vouch(arcs ...Arc) bool {
	if !p.member {
		return false
	}
	set := newArcSet(arcs...)
	for _, r := range p.running {
		if r.dropping && r.keys.overlaps(set) {
			return false
		}
	}
	for _, r := range p.running {
		r.vouched = r.vouched || r.keys.overlaps(set)
	}
	return true
}

// Doubt tells that a peer may lack a record that it should hold, such as one
// that others have stored. It is compared with within seconds, unless it fails
// at that too.
func (p *Replication) Doubt(now time.Time, peer ring.ID) {
	if n := p.neighbour(peer); n != nil {
		n.doubtful = true
		if n.failures == 0 {
			n.due = earlier(n.due, now.Add(p.about(p.cfg.Settle)))
		}
	}
}

// Settled reports whether everything is where it belongs, as far as this member
// sees: nothing is under way or has failed, all that is shared was compared, and
// nothing is to be handed over. One that is no member is settled when all it
// holds was handed to others.
func (p *Replication) Settled(x *Index) bool {
	if !p.viewed || len(p.running) > 0 || p.member && !p.sees {
		return false
	}
	for i := range p.neighbours {
		if n := &p.neighbours[i]; n.failures > 0 || n.doubtful || !n.inSync() {
			return false
		}
	}
	for _, gap := range p.own.union(p.hand.done).complement() {
		if _, ok := x.First(gap); ok {
			return false
		}
	}
	return true
}

// soon returns when something is due that is due at once.
func (p *Replication) soon(now time.Time) time.Time {
	return now.Add(time.Duration(p.cfg.Rand.Int64N(int64(spread))))
}

// about returns d, give or take an eighth.
func (p *Replication) about(d time.Duration) time.Duration {
	return d - d/8 + time.Duration(p.cfg.Rand.Int64N(int64(d/4)+1))
}

// backoff returns the pause after so many failures in a row.
func (p *Replication) backoff(failures int) time.Duration {
	d := p.cfg.Backoff
	for i := 1; i < failures && d < p.cfg.MaxBackoff; i++ {
		d *= 2
	}
	return p.about(min(d, p.cfg.MaxBackoff))
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
