package experiment

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/internal/sim"
	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

const (
	maxRecords = 1 << 20
	leastSize  = 8
	mostSize   = 64 << 10
)

// archive is a simulated ring that keeps records.
type archive struct {
	*Durability
	world   *sim.Sim
	pop     *population // who comes joins without records
	rng     *rand.Rand  // of the scenario
	keepers []*keeper   // of the active members, by node
	records []document
	errands map[*pastry.Routed]*errand
	routed  map[pastry.MessageID]*errand // those of them that went to a root
	postage postage
	copies  *copies
	reads   reading
	curve   curve
	written int          // records whose writing has come to an end
	acked   int          // those of them that were acknowledged
	leaving map[int]bool // members that have handed over what they held

	ended     ending
	misplaced int
	settled   time.Duration
	members   float64  // member seconds measured
	faults    []string // what must never happen
	incidents []string // what is to happen only where records have too few copies
}

// document is a record as it is sent.
type document struct {
	id   records.ID
	name []byte // of what is provided
	wire *pb.Record
}

func newArchive(d *Durability) *archive {
	a := &archive{
		Durability: d, rng: rand.New(rand.NewPCG(d.Seed, 0xd0c5)),
		errands: make(map[*pastry.Routed]*errand), routed: make(map[pastry.MessageID]*errand),
		copies: newCopies(d.Records, d.Replicas), leaving: make(map[int]bool),
	}
	for i := range d.Records {
		a.records = append(a.records, newDocument(d.Seed, i, d.Size))
	}
	return a
}

// newDocument makes a provider record whose data is its number and nothing else.
func newDocument(seed uint64, number, size int) document {
	b := binary.BigEndian.AppendUint64(nil, seed)
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(b, uint64(number)))
	name := append([]byte{0x12, 0x20}, sum[:]...) // a multihash
	data := make([]byte, size)
	binary.BigEndian.PutUint32(data, uint32(number))
	return document{
		id: records.NewID(records.TypeProvider, name, peer.ID("provider")), name: name,
		wire: &pb.Record{Type: pb.RecordType_RECORD_TYPE_PROVIDER, Data: data},
	}
}

// number returns which record was received.
func (a *archive) number(r *pb.Record) int { return int(binary.BigEndian.Uint32(r.Data)) }

// begin gives every member of a ring that was built a keeper, and lets nodes come
// and go from now on. It returns an error when ctx is over.
func (a *archive) begin(ctx context.Context, world *sim.Sim) error {
	a.world, a.pop = world, newPopulation(world, a.rng, a.Nodes, a.Session, a.outlive)
	for _, i := range world.Actives() {
		if err := ctx.Err(); err != nil {
			return err
		}
		a.keeper(i)
	}
	a.pop.start()
	a.browse()
	return nil
}

// clock returns the virtual time as the policy takes it.
func (a *archive) clock() time.Time { return time.Unix(1e9, 0).Add(a.world.Now()) }

// keeper returns the keeper of a member, a new one if it has just become active;
// nil if it is not.
func (a *archive) keeper(i int) *keeper {
	for len(a.keepers) <= i {
		a.keepers = append(a.keepers, nil)
	}
	if a.keepers[i] != nil || !a.world.Up(i) {
		return a.keepers[i]
	}
	// In a perfect ring this makes the node, which asks for its keeper then.
	if active := a.world.Node(i).State() == pastry.StateActive; active && a.keepers[i] == nil {
		a.keepers[i] = newKeeper(a, i)
	}
	return a.keepers[i]
}

// watch lets the keeper of a node look at the ring when that has changed. The
// node's other actions come first, as they do when the keeper runs beside it.
func (a *archive) watch(i int, act *pastry.Action) {
	if a.world == nil {
		return // the ring is being built
	}
	a.pop.watch(i, act)
	switch act.Kind {
	case pastry.ActState:
		if act.State == pastry.StateIdle {
			a.world.After(0, func() { a.parted(i) })
			return
		}
	case pastry.ActLeaves:
	default:
		return
	}
	k := a.keeper(i)
	if k == nil || k.stale {
		return
	}
	k.stale = true
	a.world.After(0, func() {
		k.look()
		k.pump()
	})
}

// tick notes what has passed of the time that is measured.
func (a *archive) tick(passed time.Duration) {
	if !a.copies.watching {
		return
	}
	active := float64(a.world.CountActive()) * passed.Seconds()
	a.members += active
	a.curve.members += active
	if a.world.Now() >= a.curve.next {
		a.curve.add(a)
	}
}

// measure begins to measure, and conclude ends it.
func (a *archive) measure() {
	a.copies.watch(a.world.Now())
	a.postage = postage{}
	a.reads = reading{}
	a.members = 0
	a.pop.restart()
	a.curve = curve{began: a.world.Now(), next: a.world.Now() + a.Sample, every: a.Sample}
	a.ended.packets = a.world.Counts().Packets
}

// ending is what was counted when the churn ended; packets is what was sent from
// the beginning of the measurement to its end.
type ending struct {
	postage postage
	reads   reading
	packets uint64
	low     int // records with fewer copies than they should have
	coming  Coming
}

func (a *archive) conclude() {
	a.ended = ending{
		postage: a.postage, reads: a.reads, packets: a.world.Counts().Packets - a.ended.packets, low: a.copies.low(),
		coming: a.pop.take(),
	}
	a.copies.unwatch(a.world.Now())
}

// countMisplaced returns how many acknowledged records are not on the members
// closest to their keys, or elsewhere as well.
func (a *archive) countMisplaced() int {
	n := 0
	for rec := range a.records {
		if a.copies.of[rec].acked && !a.placed(rec) {
			n++
		}
	}
	return n
}

func (a *archive) placed(rec int) bool {
	id := a.records[rec].id
	set := a.world.Closest(id.Key, a.Replicas)
	for _, i := range set {
		k := a.keeper(i)
		if k == nil {
			return false
		}
		if _, held := k.held.Get(id); !held {
			return false
		}
	}
	return a.copies.of[rec].live == len(set)
}

// view returns what a node sees of the ring, itself included.
func view(raw *pastry.RawNode) ring.View {
	all := raw.Leaves().AppendMembers(nil)
	at := len(all) - len(raw.Leaves().Larger())
	v := ring.View{Whole: raw.Leaves().Wraps(), IDs: make([]ring.ID, 0, len(all)+1)}
	for _, c := range all[:at] {
		v.IDs = append(v.IDs, c.ID)
	}
	v.IDs = append(v.IDs, raw.Self().ID)
	for _, c := range all[at:] {
		v.IDs = append(v.IDs, c.ID)
	}
	return v
}
