package pastry

import (
	"cmp"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/secondbit/pastry/ring"
)

// world connects a few RawNodes without loss, each packet taking 5 ms, and
// keeps what each was given and did.
type world struct {
	now   Time
	nodes []*actor
	queue []parcel // ordered by (at, seq)
	seq   int
	ended []*Answer // the receipts, in order
}

type actor struct {
	n     *RawNode
	calls []transcript
	down  bool
}

// transcript is one call of Step, or of Advance if in is nil.
type transcript struct {
	at  Time
	in  *Input
	out []Action
}

type parcel struct {
	at  Time
	seq int
	to  ring.ID
	in  Input
}

const worldDelay = Time(5 * time.Millisecond)

// worldNode returns the node at a point as every world and every replay makes it.
func worldNode(t testing.TB, at int, client bool) *RawNode {
	t.Helper()
	self := contactAt(point(at))
	self.Client = client
	n, err := NewRawNode(Config{Self: self, Rand: rand.New(rand.NewPCG(uint64(at), 18)), LeafSetSize: 4, NeighborhoodSize: 4})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// add starts a node at a point, which joins through those at via.
func (w *world) add(t testing.TB, at int, client bool, via ...int) *actor {
	a := &actor{n: worldNode(t, at, client)}
	w.nodes = append(w.nodes, a)
	var seeds []*Contact
	for _, v := range via {
		seeds = append(seeds, contactAt(point(v)))
	}
	w.input(a, Input{Kind: InRegister, App: "app"})
	w.input(a, Input{Kind: InJoin, Contacts: seeds})
	return a
}

func (w *world) input(a *actor, in Input) {
	a.calls = append(a.calls, transcript{w.now, &in, a.n.Step(w.now, in, nil)})
	w.carryOut(a)
}

// carryOut does what the node's latest actions say.
func (w *world) carryOut(a *actor) {
	reply := func(in Input) { w.post(worldDelay/10, a.n.self.ID, in) }
	for _, act := range a.calls[len(a.calls)-1].out {
		switch act.Kind {
		case ActSend:
			w.post(worldDelay, act.To.ID, Input{Kind: InPacket, From: a.n.self, Packet: act.Packet})
		case ActDeliver:
			reply(Input{Kind: InDelivered, ID: act.Msg.ID, Payload: act.Msg.Payload})
		case ActForward:
			reply(Input{Kind: InForwarded, ID: act.Msg.ID, Msg: act.Msg})
		case ActSign:
			m := *act.Msg
			m.Auth = []byte("signature")
			reply(Input{Kind: InSigned, ID: m.ID, Msg: &m})
		case ActVouch:
			reply(Input{Kind: InVouched, ID: act.Answer.ID, Auth: []byte("signature")})
		case ActReceipt:
			w.ended = append(w.ended, act.Answer)
		}
	}
}

func (w *world) post(delay Time, to ring.ID, in Input) {
	w.seq++
	w.queue = append(w.queue, parcel{w.now + delay, w.seq, to, in})
	slices.SortFunc(w.queue, func(a, b parcel) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.seq, b.seq)) })
}

// run lets time pass until done, or for d at most, and reports whether it is
// done.
func (w *world) run(d time.Duration, done func() bool) bool {
	for end := w.now + Time(d); !done(); {
		next, first := end, (*actor)(nil)
		for _, a := range w.nodes {
			if at, ok := a.n.Deadline(); ok && !a.down && at < next {
				next, first = at, a
			}
		}
		switch {
		case len(w.queue) > 0 && w.queue[0].at <= next:
			p := w.queue[0]
			w.queue = w.queue[1:]
			w.now = max(w.now, p.at)
			if i := slices.IndexFunc(w.nodes, func(a *actor) bool { return a.n.self.ID == p.to && !a.down }); i >= 0 {
				w.input(w.nodes[i], p.in)
			}
		case first != nil:
			w.now = max(w.now, next)
			first.calls = append(first.calls, transcript{w.now, nil, first.n.Advance(w.now, nil)})
			w.carryOut(first)
		default:
			w.now = end
			return done()
		}
	}
	return true
}

func never() bool { return false }

func (a *actor) active() bool { return a.n.State() == StateActive }

// busyWorld is a ring that grows to 12 nodes and a client, in which messages are
// routed, one node crashes and one leaves.
func busyWorld(t testing.TB) *world {
	w := &world{now: Time(time.Hour)}
	for i := range 12 {
		var via []int
		if i > 0 {
			via = []int{7, 83 * (i / 2) % 1000}
		}
		a := w.add(t, (83*i)%1000+7*boolToInt(i == 0), false, via...)
		if !w.run(20*time.Second, a.active) {
			t.Fatalf("node %d is not active after 20s", i)
		}
	}
	w.add(t, 555, true, 7)
	w.run(time.Second, never)
	for i := range 40 {
		from := w.nodes[i%len(w.nodes)]
		switch i {
		case 15:
			w.nodes[3].down = true
		case 25:
			w.input(w.nodes[5], Input{Kind: InLeave})
		}
		if from.down || from.n.State() == StateIdle || from.n.State() == StateLeaving {
			continue
		}
		m := &Routed{ID: messageID(i), App: "app", Key: point(i * 25), Origin: from.n.self.Peer, OriginID: from.n.self.ID}
		w.input(from, Input{Kind: InRoute, Msg: m, TTL: 20 * time.Second})
		w.run(100*time.Millisecond, never)
	}
	w.run(time.Minute, never)
	return w
}

// TestReplay gives every node of a busy world what it was given a second time:
// it does the same.
func TestReplay(t *testing.T) {
	w := busyWorld(t)
	if len(w.ended) < 30 {
		t.Errorf("%d messages ended, want more: the world is not busy", len(w.ended))
	}
	for _, a := range w.ended {
		if a.Code != CodeOK {
			t.Errorf("message %x ended with %v", a.ID, a.Code)
		}
	}
	for i, a := range w.nodes {
		hi, _ := a.n.self.ID.Uint64s()
		again := worldNode(t, points([]*Contact{contactAt(ring.FromUint64s(hi, 0))})[0], a.n.self.Client)
		for j, c := range a.calls {
			var got []Action
			if c.in == nil {
				got = again.Advance(c.at, nil)
			} else {
				got = again.Step(c.at, *c.in, nil)
			}
			if len(got) != len(c.out) || len(got) > 0 && !reflect.DeepEqual(got, c.out) {
				t.Fatalf("node %d, call %d: did %v, at first %v", i, j, got, c.out)
			}
		}
		if got, want := again.Stats(), a.n.Stats(); got != want {
			t.Errorf("node %d counted %+v, at first %+v", i, got, want)
		}
	}
}

// TestWorldsAreEqual runs the same world twice, in which maps are made anew.
func TestWorldsAreEqual(t *testing.T) {
	a, b := busyWorld(t), busyWorld(t)
	if a.now != b.now || a.seq != b.seq {
		t.Errorf("worlds end at %v and %v after %d and %d parcels", a.now, b.now, a.seq, b.seq)
	}
	for i := range a.nodes {
		if got, want := b.nodes[i].n.Stats(), a.nodes[i].n.Stats(); got != want {
			t.Errorf("node %d counted %+v, at first %+v", i, got, want)
		}
	}
}

// TestPacketsAreImmutable encodes every packet when it is sent and at the end.
func TestPacketsAreImmutable(t *testing.T) {
	encoded := func(p *Packet) string {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(encodePacket(p))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	s := &world{now: Time(time.Hour)}
	first := make(map[*Packet]string)
	for i := range 6 {
		var via []int
		if i > 0 {
			via = []int{0}
		}
		a := s.add(t, 83*i, false, via...)
		for end := s.now + Time(3*time.Second); s.now < end; {
			s.run(time.Millisecond, never)
			if i == 5 && s.seq%50 == 0 {
				s.input(a, Input{Kind: InRoute, TTL: time.Second, Msg: messageFrom(83*i, point(s.seq%1000), s.seq)})
			}
			for _, p := range s.queue {
				if pkt := p.in.Packet; pkt != nil && first[pkt] == "" {
					first[pkt] = encoded(pkt)
				}
			}
		}
	}
	if len(first) < 100 {
		t.Errorf("%d packets were seen, want more", len(first))
	}
	for p, was := range first {
		if encoded(p) != was {
			t.Errorf("a %v packet was changed after it was sent", p.Kind)
		}
	}
}
