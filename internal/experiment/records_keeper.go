package experiment

import (
	"math/rand/v2"
	"time"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

// keeper is what a member does about records: it does what the policy says, with
// an index in place of a store.
type keeper struct {
	a      *archive
	node   int
	id     ring.ID
	up     bool
	held   records.Index // Tag is the number of the record
	policy *records.Replication

	seen    ring.View // as the policy knows it
	member  bool
	gone    map[ring.ID]time.Duration // when members were last seen that no longer are
	stale   bool                      // the node may see something else now
	leaving bool
	parting func() // called when all is handed over, or cannot be

	under  int       // tasks under way
	wake   time.Time // when pump is called next
	writes []*writing
}

func newKeeper(a *archive, node int) *keeper {
	k := &keeper{a: a, node: node, id: a.world.ID(node), up: true, stale: true, gone: make(map[ring.ID]time.Duration)}
	k.policy = records.NewReplication(records.ReplicationConfig{
		Self: k.id, Replicas: a.Replicas, Rand: rand.New(rand.NewPCG(a.Seed, uint64(node)<<1|1)),
	})
	a.world.After(0, func() {
		k.look()
		k.pump()
	})
	return k
}

// look tells the policy what the node sees of the ring, if that has changed.
func (k *keeper) look() {
	if !k.stale || k.leaving || !k.up {
		return
	}
	k.stale = false
	if raw := k.a.world.Node(k.node); raw.State() == pastry.StateActive {
		k.see(view(raw), true)
	}
}

func (k *keeper) see(v ring.View, member bool) {
	now := k.a.world.Now()
	for id, last := range k.gone {
		if now-last >= records.GoneFor {
			delete(k.gone, id)
		}
	}
	for _, id := range k.seen.IDs {
		if v.Index(id) < 0 {
			k.gone[id] = now
		}
	}
	k.seen, k.member = v, member
	k.policy.SetView(k.a.clock(), v, member)
	for _, w := range k.writes {
		w.again()
	}
}

// knows reports whether a member is in sight, or was a short time ago.
func (k *keeper) knows(id ring.ID) bool {
	if k.seen.Index(id) >= 0 {
		return true
	}
	last, ok := k.gone[id]
	return ok && k.a.world.Now()-last < records.GoneFor
}

// pump starts the tasks that are due, as long as few are under way, and comes
// back when others are.
func (k *keeper) pump() {
	if !k.up || !k.a.Repair {
		return
	}
	for k.under < records.UpkeepTasks {
		t, ok := k.policy.Next(k.a.clock(), &k.held)
		if !ok {
			break
		}
		k.under++
		k.carryOut(t, func(ok bool) { k.ended(t, ok) })
	}
	if k.leaving && k.under == 0 {
		k.part()
		return
	}
	k.sleep()
}

// ended takes note of the end of a task.
func (k *keeper) ended(t records.Task, ok bool) {
	if ok {
		k.a.postage.tasks[t.Kind]++
	} else {
		k.a.postage.failed[t.Kind]++
	}
	k.policy.Done(k.a.clock(), t, ok)
	k.under--
	k.a.world.After(0, k.pump)
}

// sleep comes back at the policy's deadline.
func (k *keeper) sleep() {
	at, ok := k.policy.Deadline()
	if !ok || k.under == records.UpkeepTasks { // the end of one wakes it
		return
	}
	now := k.a.clock()
	if least := now.Add(time.Millisecond); at.Before(least) {
		at = least
	}
	if k.wake.After(now) && !at.Before(k.wake) {
		return
	}
	k.wake = at
	k.a.world.After(at.Sub(now), func() {
		if k.wake.Equal(at) {
			k.wake = time.Time{}
			k.look()
			k.pump()
		}
	})
}

// handOver hands on all that is held, as far as others do not have it yet, and
// then calls done.
func (k *keeper) handOver(done func()) {
	k.look()
	if len(k.seen.IDs) < 2 || k.held.Len() == 0 || !k.a.Repair {
		done()
		return
	}
	k.leaving, k.parting = true, done
	others := ring.View{Whole: k.seen.Whole}
	for _, id := range k.seen.IDs {
		if id != k.id {
			others.IDs = append(others.IDs, id)
		}
	}
	k.see(others, false)
	k.a.world.After(records.HandoverLimit, k.part)
	k.pump()
}

// part ends the handing over.
func (k *keeper) part() {
	if done := k.parting; done != nil && k.up {
		k.parting = nil
		done()
	}
}

// accepts reports whether the member takes a record that is sent to it alone.
func (k *keeper) accepts(key ring.ID) bool {
	k.look()
	return !k.leaving && k.policy.Accepts(key)
}

// complete reports whether the member has compared a key with enough replicas.
func (k *keeper) complete(key ring.ID) bool {
	k.look()
	return k.policy.Complete(key)
}

// doubt notes that a replica may lack a record that others have.
func (k *keeper) doubt(id ring.ID) {
	k.policy.Doubt(k.a.clock(), id)
	k.pump()
}

// put takes in a record.
func (k *keeper) put(r *pb.Record, why purpose) {
	rec := k.a.number(r)
	id := k.a.records[rec].id
	if _, held := k.held.Get(id); held {
		if why == forRepair {
			k.a.postage.again++
		}
		return
	}
	k.held.Put(records.Entry{ID: id, Version: 1, Size: uint32(len(r.Data)), Tag: uint32(rec)})
	k.a.copies.gain(rec, k.a.world.Now())
}

// drop removes a record.
func (k *keeper) drop(e records.Entry) {
	if k.held.Delete(e.ID) {
		k.a.copies.lose(int(e.Tag), k.a.world.Now(), k.node, "dropped")
	}
}

// stop is the end of the member, and of all that it holds.
func (k *keeper) stop(how string) {
	k.up = false
	k.held.Ascend(records.WholeRing, func(e records.Entry) bool {
		k.a.copies.lose(int(e.Tag), k.a.world.Now(), k.node, how)
		return true
	})
}
