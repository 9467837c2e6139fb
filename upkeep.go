package pastry

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"

	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

const (
	upkeepTasks   = records.UpkeepTasks
	expireEvery   = time.Minute // between two looks for what has expired
	handoverLimit = records.HandoverLimit
	goneFor       = records.GoneFor
	upkeepBurst   = maxPayload + 1<<10
)

// upkeep keeps the records where they belong: it carries out what the policy,
// records.Replication, decides, by comparing, fetching and sending records.
// What it sends and receives is bounded by WithRepairBandwidth.
type upkeep struct {
	k     *keeper
	wake  chan struct{}
	quota *rate.Limiter // bytes a second

	mu      sync.Mutex // guards what follows; taken before the store's
	policy  *records.Replication
	seen    *sight                // what the policy was told of last
	gone    map[ring.ID]time.Time // when members were last seen that no longer are
	leaving bool                  // the node is being closed
	under   int                   // tasks under way
	idle    chan struct{}         // closed and replaced when a task has ended
}

func newUpkeep(k *keeper) *upkeep {
	o := k.n.opts
	u := &upkeep{k: k, wake: make(chan struct{}, 1), idle: make(chan struct{}), gone: make(map[ring.ID]time.Time),
		quota: rate.NewLimiter(rate.Limit(o.repairRate), upkeepBurst)}
	u.policy = records.NewReplication(records.ReplicationConfig{
		Self: ring.FromPeer(k.n.host.ID()), Replicas: o.replication,
		Rand: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
	})
	return u
}

// changed tells the policy what the node sees of the ring. It runs in the core's
// goroutine and waits for nobody.
func (u *upkeep) changed() {
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

// complete reports whether this node has compared its records of a key with so
// many replicas that together they are a majority.
func (u *upkeep) complete(key ring.ID) bool {
	u.look()
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.policy.Complete(key)
}

// accepts reports whether this node may be a replica of a key.
func (u *upkeep) accepts(key ring.ID) bool {
	u.look()
	u.mu.Lock()
	defer u.mu.Unlock()
	return !u.leaving && u.policy.Accepts(key)
}

// vouch reports whether this node may tell another what it holds in some arcs,
// as the other may then drop its own. It must be a member that is, or of late was,
// in sight: what a stranger asks must not hold up the handing over of records.
func (u *upkeep) vouch(to peer.ID, arcs []*pb.Arc) bool {
	set := make([]records.Arc, 0, len(arcs))
	for _, m := range arcs {
		first, err := ring.FromBytes(m.GetFirst())
		last, err2 := ring.FromBytes(m.GetLast())
		if err != nil || err2 != nil {
			return true // Compare says what is wrong
		}
		set = append(set, records.Arc{First: first, Last: last})
	}
	u.look()
	u.mu.Lock()
	defer u.mu.Unlock()
	return !u.leaving && u.knows(ring.FromPeer(to)) && u.policy.Vouch(set...)
}

// serves reports whether a peer gets records by their IDs, which counts against
// the bandwidth of repair: if it is, or of late was, a member in sight.
func (u *upkeep) serves(p peer.ID) bool {
	u.look()
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.knows(ring.FromPeer(p))
}

// knows reports whether a member is in sight, or was a short time ago. The caller
// holds mu.
func (u *upkeep) knows(id ring.ID) bool {
	if u.seen != nil && u.seen.Index(id) >= 0 {
		return true
	}
	last, ok := u.gone[id]
	return ok && wallTime().Sub(last) < goneFor
}

// see takes a new view of the ring for what the policy knows. The caller holds mu.
func (u *upkeep) see(s *sight, member bool) {
	now := wallTime()
	for id, last := range u.gone {
		if now.Sub(last) >= goneFor {
			delete(u.gone, id)
		}
	}
	if u.seen != nil {
		for _, id := range u.seen.IDs {
			u.gone[id] = now
		}
	}
	u.seen = s
	u.policy.SetView(now, s.View, member)
}

// doubt notes that a replica may lack a record that others have stored.
func (u *upkeep) doubt(p peer.ID) {
	u.mu.Lock()
	u.policy.Doubt(wallTime(), ring.FromPeer(p))
	u.mu.Unlock()
	u.changed()
}

// settled reports whether all that is held is where it belongs, as far as this
// node sees.
func (u *upkeep) settled() (yes bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.k.held.View(func(x *records.Index) { yes = u.policy.Settled(x) })
	return yes
}

// run carries out tasks until the node stops.
func (u *upkeep) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	expire := time.NewTicker(expireEvery)
	defer expire.Stop()
	for {
		u.look()
		u.start()
		u.mu.Lock()
		if d, ok := u.policy.Deadline(); ok && u.under < upkeepTasks { // the end of one wakes it
			timer.Reset(max(time.Millisecond, time.Until(d)))
		}
		u.mu.Unlock()
		select {
		case <-u.wake:
		case <-timer.C:
		case <-expire.C:
			u.expire()
		case <-u.k.n.stop:
			return
		}
	}
}

// look tells the policy what the node sees of the ring. While the node joins, its
// records wait; when it has become a client, they go to the others.
func (u *upkeep) look() {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.k.n.sight.Load() // under the lock, so that the policy is told in order
	switch {
	case s == u.seen || u.leaving:
	case s.member:
		u.see(s, true)
	case u.seen != nil && u.seen.member && u.k.n.self.Load().Client:
		u.see(u.seen.without(), false)
	}
}

// peer returns the member with an id, as the policy knows it.
func (u *upkeep) peer(id ring.ID) (peer.ID, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.seen == nil {
		return "", false
	}
	return u.seen.peer(id)
}

// start starts tasks that are due, as long as few are under way.
func (u *upkeep) start() {
	for {
		u.mu.Lock()
		if u.under >= upkeepTasks {
			u.mu.Unlock()
			return
		}
		var task records.Task
		var ok bool
		u.k.held.View(func(x *records.Index) { task, ok = u.policy.Next(wallTime(), x) })
		if ok {
			u.under++
		}
		u.mu.Unlock()
		if !ok {
			return
		}
		u.k.n.spawn(func() { u.perform(task) })
	}
}

// perform carries out one task and tells the policy how it ended.
func (u *upkeep) perform(task records.Task) {
	err := u.carryOut(u.k.n.ctx, task) // each call in it has its own time
	if err != nil {
		log.Debugw("records not compared", "task", task, "err", err)
	}
	u.k.counts.task(task.Kind, err)
	u.mu.Lock()
	u.policy.Done(wallTime(), task, err == nil)
	u.under--
	close(u.idle)
	u.idle = make(chan struct{})
	u.mu.Unlock()
	u.changed()
}

// handOver hands on all that this node holds, as far as others do not have it
// yet. It returns when that is done, cannot be, or the time for it is over.
func (u *upkeep) handOver() {
	n := u.k.n
	s := n.sight.Load()
	if !s.member || len(s.IDs) < 2 || u.k.holdsNothing() {
		return
	}
	timer := time.NewTimer(handoverLimit)
	defer timer.Stop()
	u.mu.Lock()
	u.leaving = true
	u.see(s.without(), false)
	u.mu.Unlock()
	for {
		u.start()
		u.mu.Lock()
		under, idle := u.under, u.idle
		u.mu.Unlock()
		if under == 0 {
			return
		}
		select {
		case <-idle:
		case <-timer.C:
			return
		}
	}
}

// expire removes what is no longer valid.
func (u *upkeep) expire() {
	for _, s := range []*records.Store{u.k.held, u.k.own} {
		if _, err := s.Expire(u.k.n.ctx, wallTime()); err != nil && u.k.n.ctx.Err() == nil {
			u.k.n.events.post(EvtError{Err: err})
			return
		}
	}
}
