package records

import (
	"slices"
	"time"

	"github.com/secondbit/pastry/ring"
)

// TaskKind says what is to be done in a Task.
type TaskKind uint8

const (
	// TaskSync compares the arcs with the one peer, fetches what this side lacks
	// and sends what the other lacks. It has gone well when the comparison came
	// to its end, all that was fetched is stored and all that was sent was
	// answered; that the other refuses a record for good, since it is invalid, has
	// expired or finds no room, is no failure.
	TaskSync TaskKind = iota + 1

	// TaskHand is about an arc of which this member is no replica. It compares
	// the arc with each of the peers, which are all its replicas, and sends what
	// they lack. A record that was held before the task began, and that each of
	// them holds in this version, a newer or a better one, may be dropped if
	// MayDrop says so. It has gone well when those are all.
	TaskHand

	// TaskPush is about an arc of which this member sees no replica. Its records
	// are stored as ordinary writes, through their roots. Those that were
	// acknowledged, by others than this member itself, may be dropped if MayDrop
	// says so. It has gone well when those are all that were held when it began.
	TaskPush
)

// String returns "sync", "hand" or "push".
func (k TaskKind) String() string {
	return [...]string{"none", "sync", "hand", "push", "none"}[min(k, TaskPush+1)]
}

// Task is something to do that Next has returned.
type Task struct {
	Kind  TaskKind
	Peers []ring.ID // one for a sync, none for a push
	Arcs  []Arc     // at most two for a sync, otherwise one

	serial uint64
}

// run is a task under way.
type run struct {
	task     Task
	keys     arcSet
	failures int    // hand and push: how often it has failed before
	stale    bool   // the view has changed since it began
	credit   arcSet // sync: the part of keys that will count as compared
	vouched  bool   // see Replication.Vouch
	dropping bool   // records of it are being dropped
}

// see takes note of a change of the view, by which members have gone that shared
// the lost keys.
func (r *run) see(p *Replication, lost arcSet) {
	r.stale = true
	if r.task.Kind == TaskSync {
		var share arcSet
		if n := p.neighbour(r.task.Peers[0]); n != nil {
			share = n.share
		}
		r.credit = r.credit.intersect(share).minus(lost)
	}
}

// Next returns a task that is due at now and marks it as under way until Done.
// There is at most one sync at a time with each peer, and at most four other
// tasks, of which each arc is in one. It is to be called until it reports false,
// or for as long as the driver wants more to do; and again after SetView and
// Done, and at the Deadline.
func (p *Replication) Next(now time.Time, x *Index) (Task, bool) {
	if n := p.nextSync(now); n != nil {
		n.doubtful = false
		return p.start(&run{
			task:   Task{Kind: TaskSync, Peers: []ring.ID{n.id}, Arcs: n.share.arcs()},
			keys:   n.share,
			credit: n.share,
		}), true
	}
	if r := p.nextHand(now, x); r != nil {
		return p.start(r), true
	}
	return Task{}, false
}

func (p *Replication) start(r *run) Task {
	p.serial++
	r.task.serial = p.serial
	p.running = append(p.running, r)
	return r.task
}

// nextSync returns the neighbour that is due first, if one is.
func (p *Replication) nextSync(now time.Time) *neighbour {
	var first *neighbour
	for i := range p.neighbours {
		n := &p.neighbours[i]
		if !n.due.After(now) && p.free(n) && (first == nil || n.due.Before(first.due)) {
			first = n
		}
	}
	return first
}

// free reports whether a neighbour can be compared with: it is not under way,
// and nothing that is shared is under way to be dropped.
func (p *Replication) free(n *neighbour) bool {
	return !slices.ContainsFunc(p.running, func(r *run) bool {
		if r.task.Kind == TaskSync {
			return r.task.Peers[0] == n.id
		}
		return r.keys.overlaps(n.share)
	})
}

// Deadline returns when Next is to be called, if nothing else happens before. It
// reports false when that is not at all.
func (p *Replication) Deadline() (t time.Time, ok bool) {
	t, ok = p.handDeadline()
	for i := range p.neighbours {
		if n := &p.neighbours[i]; p.free(n) && (!ok || n.due.Before(t)) {
			t, ok = n.due, true
		}
	}
	return t, ok
}

// MayDrop reports whether what a hand or a push allows to drop may now be
// dropped: not if the view has changed so that others are its replicas, nor if
// this member has vouched for what it holds. Between the call and the end of
// dropping the driver must not call Done; in that time, this member does not
// vouch.
func (p *Replication) MayDrop(t Task) bool {
	i := p.find(t)
	if i < 0 {
		return false
	}
	r := p.running[i]
	r.dropping = r.task.Kind != TaskSync && !r.vouched && p.stands(r)
	return r.dropping
}

// stands reports whether the keys of a hand or a push still belong to the peers
// that it asked.
func (p *Replication) stands(r *run) bool {
	if p.member && (!p.sees || r.keys.overlaps(p.own)) {
		return false
	}
	if r.task.Kind == TaskPush {
		return true
	}
	set, window, ok := p.members.replicasOf(r.task.Arcs[0].First)
	return ok && slices.Equal(set, r.task.Peers) && r.keys.within(newArcSet(window))
}

// Done tells that a task is no longer under way, and whether it has gone well.
func (p *Replication) Done(now time.Time, t Task, ok bool) {
	i := p.find(t)
	if i < 0 {
		return
	}
	r := p.running[i]
	p.running = slices.Delete(p.running, i, i+1)
	if r.task.Kind != TaskSync {
		p.handed(now, r, ok)
	} else if n := p.neighbour(t.Peers[0]); n != nil {
		p.compared(now, n, r, ok)
	}
}

func (p *Replication) find(t Task) int {
	return slices.IndexFunc(p.running, func(r *run) bool { return r.task.serial == t.serial })
}

// compared takes note of the end of a sync.
func (p *Replication) compared(now time.Time, n *neighbour, r *run, ok bool) {
	if !ok {
		n.failures++
		n.due = now.Add(p.backoff(n.failures))
		return
	}
	n.synced, n.failures = n.synced.union(r.credit).intersect(n.share), 0
	switch {
	case !n.inSync():
		n.due = p.soon(now)
	case n.doubtful:
		n.due = now.Add(p.about(p.cfg.Settle))
	default:
		n.due = now.Add(p.about(p.cfg.Period))
	}
}
