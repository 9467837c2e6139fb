package pastry

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/secondbit/pastry/ring"
)

// chaos feeds a RawNode whatever a string of bytes makes of it: packets of all
// kinds from a few contacts, sensible and not, answers to what it asks, failed
// sends, and time that creeps, jumps and goes back.
type chaos struct {
	n        *RawNode
	bytes    []byte
	now      Time
	contacts []*Contact
	sends    []Action    // packets the node sent and nobody has answered, latest last
	asked    []Action    // questions to applications and signers
	ids      []MessageID // of the node's own messages
	log      []Action    // everything the node did
}

func newChaos(bytes []byte) *chaos {
	c := &chaos{bytes: bytes, now: Time(time.Second)}
	for i := range 13 {
		at := contactAt(seat(i*77 + 20))
		at.Client = i == 5
		c.contacts = append(c.contacts, at)
	}
	c.boot(1)
	return c
}

// boot starts an incarnation of the node, which may be a client.
func (c *chaos) boot(epoch uint64) {
	self, flags := contactAt(seat(500)), c.byte()
	self.Epoch, self.Client = epoch, flags&7 == 7
	n, err := NewRawNode(Config{
		Self: self, Rand: rand.New(rand.NewPCG(epoch, 14)), LeafSetSize: 4, NeighborhoodSize: 3, Memory: 16,
		DigitBits: 1 + int(flags>>5), HopLimit: 5,
	})
	if err != nil {
		panic(err)
	}
	c.n = n
}

func (c *chaos) byte() byte {
	if len(c.bytes) == 0 {
		return 0
	}
	b := c.bytes[0]
	c.bytes = c.bytes[1:]
	return b
}

func (c *chaos) pick(n int) int { return int(c.byte()) % n }

// contact returns one of the contacts, now and then in its next incarnation.
func (c *chaos) contact() *Contact {
	i := c.pick(len(c.contacts))
	if c.byte() == 77 {
		next := *c.contacts[i]
		next.Epoch++
		c.contacts[i] = &next
	}
	return c.contacts[i]
}

func (c *chaos) some() (cs []*Contact) {
	for range c.pick(5) {
		cs = append(cs, c.contact())
	}
	return cs
}

func (c *chaos) key() ring.ID {
	if c.byte()%4 == 0 {
		return c.contact().ID
	}
	return point(c.pick(250) * 4)
}

// keys returns some keys, now and then the node's own.
func (c *chaos) keys() (ids []ring.ID) {
	for range c.pick(5) {
		ids = append(ids, c.key())
	}
	if c.byte()%4 == 0 {
		ids = append(ids, c.n.self.ID)
	}
	return ids
}

// digest returns none, one that the node agrees to, or another.
func (c *chaos) digest() uint64 {
	switch d := c.byte(); d % 4 {
	case 0:
		return 0
	case 1:
		return c.n.leaves.overlap(d&4 == 0)
	default:
		return uint64(d)
	}
}

func (c *chaos) message() *Routed {
	origin, flags := c.contact(), c.byte()
	m := &Routed{ID: messageID(c.pick(24)), App: "app", Key: c.key(), Origin: origin.Peer, OriginID: origin.ID,
		Join: flags&7 == 1, Direct: flags&7 == 2}
	if m.Join {
		m.Key = origin.ID
	}
	if flags&16 != 0 && !m.Join && !m.Direct {
		m.Replicas = 1 + int(flags>>5)
	}
	if flags&8 != 0 {
		m.Auth = []byte("signature")
	}
	return m
}

// packet returns any packet that passes the decoder.
func (c *chaos) packet() *Packet {
	p := &Packet{Kind: Kind(1 + c.pick(int(numKinds)-1)), State: State(c.pick(int(StateClient) + 1)), Seq: uint64(c.pick(40)),
		Code: Code(c.pick(int(numCodes))), Attempt: uint32(c.pick(3)), Hops: c.pick(8), TTL: time.Duration(c.byte()) * time.Second,
		Want: Want(c.pick(16)), Row: c.pick(200), Version: uint64(c.pick(4)), Period: time.Duration(c.byte()) * time.Minute,
		Larger: c.byte()&1 == 0, Holding: c.byte()&1 == 0, Digest: c.digest()}
	switch p.Kind {
	case KindRoute:
		p.Msg, p.Chosen = c.message(), p.Larger
		if p.Msg.Join {
			p.Contacts = c.some()
		}
	case KindReply:
		m := c.message()
		p.Answer = &Answer{ID: m.ID, Origin: m.Origin, OriginID: m.OriginID, Root: c.contact().Peer, Code: p.Code}
		if len(c.ids) > 0 && c.byte()&1 == 0 {
			p.Answer.ID, p.Answer.Origin, p.Answer.OriginID = c.ids[c.pick(len(c.ids))], c.n.self.Peer, c.n.self.ID
			p.Answer.Contacts = c.some()
		}
	case KindProbeReply:
		p.Contacts, p.Holders = c.some(), c.keys()
	case KindGrantReply:
		p.Contacts = c.some()
	case KindHeartbeat:
		p.Holders, p.Held = c.keys(), uint64(c.pick(3))
	case KindSuspect:
		if p.Suspects = append(c.keys(), c.contact().ID); c.byte()&1 == 0 {
			p.Suspects = p.Suspects[len(p.Suspects)-1:]
		}
		p.Holders = c.keys()
	}
	if p.Kind == KindLeave || p.Kind == KindGrantReply {
		p.Delivered = []Delivery{{ID: messageID(c.pick(24)), Key: c.key(), By: c.contact().Peer}}
	}
	if len(c.sends) > 0 {
		p.Acks = []uint64{c.sends[c.pick(len(c.sends))].Packet.Seq}
	}
	return p
}

// reply answers a packet of the node's as an honest peer would.
func (c *chaos) reply() Input {
	if len(c.sends) == 0 {
		return Input{Kind: InPacket, From: c.contact(), Packet: c.packet()}
	}
	i := len(c.sends) - 1 - c.pick(min(len(c.sends), 8))
	a := c.sends[i]
	c.sends = append(c.sends[:i:i], c.sends[i+1:]...)
	p := &Packet{State: StateActive, Seq: a.Packet.Seq}
	switch a.Packet.Kind {
	case KindProbe:
		p.Kind, p.Want, p.Version = KindProbeReply, a.Packet.Want, uint64(1+c.pick(3))
		p.Contacts, p.Holding = c.some(), c.byte()&1 == 0
		if p.Want&WantHolders != 0 {
			p.Holders = c.keys()
		}
	case KindGrant:
		p.Kind, p.Larger, p.Contacts = KindGrantReply, a.Packet.Larger, c.some()
	case KindRoute:
		p.Kind = KindAck
		if a.Packet.Msg.OriginID == c.n.self.ID && c.byte()&1 == 0 {
			m := a.Packet.Msg
			p.Kind = KindReply
			p.Acks = []uint64{a.Packet.Seq}
			p.Answer = &Answer{ID: m.ID, Origin: m.Origin, OriginID: m.OriginID, Root: a.To.Peer, Contacts: c.some()}
		}
	default:
		p.Kind = KindAck
	}
	return Input{Kind: InPacket, From: a.To, Packet: p}
}

// answer answers a question of the node to an application or to the signer.
func (c *chaos) answer() Input {
	if len(c.asked) == 0 {
		return Input{Kind: InRegister, App: "app"}
	}
	i := c.pick(len(c.asked))
	a := c.asked[i]
	c.asked = append(c.asked[:i:i], c.asked[i+1:]...)
	choice := c.pick(4)
	switch a.Kind {
	case ActForward:
		m := *a.Msg
		if choice == 0 {
			return Input{Kind: InForwarded, ID: m.ID}
		}
		return Input{Kind: InForwarded, ID: m.ID, Msg: &m}
	case ActSign:
		if choice == 0 {
			return Input{Kind: InSigned, ID: a.Msg.ID}
		}
		m := *a.Msg
		m.Auth = []byte("signature")
		return Input{Kind: InSigned, ID: m.ID, Msg: &m}
	case ActVouch:
		if choice == 0 {
			return Input{Kind: InVouched, ID: a.Answer.ID}
		}
		return Input{Kind: InVouched, ID: a.Answer.ID, Auth: []byte("signature")}
	}
	return Input{Kind: InDelivered, ID: a.Msg.ID, Code: []Code{CodeOK, CodeOK, CodeAppError, CodeForged}[choice]}
}

// input returns the next thing that happens; false when it is time that passes.
func (c *chaos) input() (Input, bool) {
	switch c.pick(20) {
	case 0, 1, 2, 3:
		return Input{Kind: InPacket, From: c.contact(), Packet: c.packet()}, true
	case 4, 5, 6, 7, 8:
		return c.reply(), true
	case 9:
		if len(c.sends) > 0 {
			a := c.sends[c.pick(len(c.sends))]
			return Input{Kind: InSendFailed, From: a.To, Packet: a.Packet}, true
		}
	case 10:
		return Input{Kind: InConnected, From: c.contact()}, true
	case 11:
		return Input{Kind: InDisconnected, From: c.contact()}, true
	case 12, 13:
		return c.answer(), true
	case 14, 15:
		m := c.message()
		m.ID, m.Origin, m.OriginID, m.Join = messageID(100+len(c.ids)), c.n.self.Peer, c.n.self.ID, false
		c.ids = append(c.ids, m.ID)
		in := Input{Kind: InRoute, Msg: m, TTL: time.Duration(c.byte()) * time.Second}
		if c.byte()%4 == 0 {
			in.From = c.contact()
		}
		return in, true
	case 16:
		return c.seldom(), true
	}
	return Input{}, false
}

func (c *chaos) seldom() Input {
	switch c.pick(6) {
	case 0:
		return Input{Kind: InLeave}
	case 1:
		return Input{Kind: InMerge, Contacts: c.some()}
	case 2:
		if len(c.ids) > 0 {
			return Input{Kind: InCancel, ID: c.ids[c.pick(len(c.ids))]}
		}
	case 3:
		return Input{Kind: InUnregister, App: "app"}
	}
	return Input{Kind: InJoin, Contacts: c.some()}
}

// pass lets time pass, mostly to the next deadline, and returns the new time.
func (c *chaos) pass() {
	switch at, ok := c.n.Deadline(); c.pick(8) {
	case 0:
		c.now += Time(time.Duration(c.byte()) * time.Minute)
	case 1:
		c.now -= Time(time.Second)
	case 2:
		c.now += Time(c.byte()) * Time(time.Millisecond)
	default:
		if ok {
			c.now = max(c.now, at)
		}
	}
}

// run runs until the bytes are used up, and returns the first thing wrong.
func (c *chaos) run(steps int) error {
	out := c.n.Step(c.now, Input{Kind: InJoin, Contacts: c.some()}, nil)
	for i := 0; len(c.bytes) > 0 && i < steps; i++ {
		c.take(out)
		was := c.n.now
		in, ok := c.input()
		if ok {
			out = c.n.Step(c.now, in, nil)
		} else {
			c.pass()
			out = c.n.Advance(c.now, nil)
		}
		if err := errors.Join(checkNode(c.n), checkHolders(c.n)); err != nil {
			return fmt.Errorf("step %d, input %+v: %w", i, in, err)
		}
		if at, ok := c.n.Deadline(); c.n.now < max(was, c.now) || !in.happened() && ok && at <= c.n.now {
			return fmt.Errorf("step %d: time went from %v to %v with input at %v, deadline %v", i, was, c.n.now, c.now, at)
		}
		if c.n.over && c.n.state == StateIdle && c.pick(10) == 0 {
			c.boot(c.n.self.Epoch + 1)
		}
	}
	c.take(out)
	return nil
}

// happened reports whether in is more than the passing of time.
func (in Input) happened() bool { return in.Kind != InPacket || in.Packet != nil }

func (c *chaos) take(out []Action) {
	c.log = append(c.log, out...)
	for _, a := range out {
		switch a.Kind {
		case ActSend:
			c.sends = append(c.sends, a)
		case ActDeliver, ActForward, ActSign, ActVouch:
			c.asked = append(c.asked, a)
		}
	}
	c.sends = c.sends[max(0, len(c.sends)-64):]
	c.asked = c.asked[max(0, len(c.asked)-16):]
}

// FuzzStep lets bytes choose what happens to a node: it never panics, its
// tables hold no impossible contact, its memory is bounded, and all that it
// waits for is in its deadline.
func FuzzStep(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 15))
	for range 20 {
		f.Add(randomBytes(rng, 2000))
	}
	f.Fuzz(func(t *testing.T, bytes []byte) {
		if err := newChaos(bytes).run(2000); err != nil {
			t.Fatal(err)
		}
	})
}

func randomBytes(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// TestStepInvariants runs what FuzzStep does on many long random strings.
func TestStepInvariants(t *testing.T) {
	states := make(map[State]int)
	for seed := range uint64(400) {
		c := newChaos(randomBytes(rand.New(rand.NewPCG(seed, 16)), 6000))
		if err := c.run(2000); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, a := range c.log {
			if a.Kind == ActState {
				states[a.State]++
			}
		}
	}
	for _, s := range []State{StateIdle, StateJoining, StateActive, StateLeaving, StateClient} {
		if states[s] == 0 {
			t.Errorf("no node was ever %v: the test tests too little", s)
		}
	}
	t.Logf("states entered: %v", states)
}

// TestStepIsDeterministic gives two nodes the same inputs: map order never
// reaches an action.
func TestStepIsDeterministic(t *testing.T) {
	for seed := range uint64(100) {
		var logs [2][]Action
		for i := range logs {
			c := newChaos(randomBytes(rand.New(rand.NewPCG(seed, 17)), 4000))
			if err := c.run(1500); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			logs[i] = c.log
		}
		if !reflect.DeepEqual(logs[0], logs[1]) {
			for i := range logs[0] {
				if i >= len(logs[1]) || !reflect.DeepEqual(logs[0][i], logs[1][i]) {
					t.Fatalf("seed %d: action %d differs: %+v", seed, i, logs[0][i])
				}
			}
			t.Fatalf("seed %d: %d and %d actions", seed, len(logs[0]), len(logs[1]))
		}
	}
}
