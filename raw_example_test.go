package pastry_test

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/secondbit/pastry"
)

// post drives RawNodes by hand. Packets arrive in the order in which they were
// sent, a millisecond later each; time passes only here.
type post struct {
	now   pastry.Time
	nodes []*pastry.RawNode
	sent  []parcel
}

type parcel struct {
	to *pastry.RawNode
	in pastry.Input
}

// name undoes PeerID(name); a real peer ID prints in base58.
func name(p pastry.PeerID) string { return string(p) }

func (p *post) node(name string) *pastry.RawNode {
	self := pastry.NewContact(pastry.PeerID(name))
	self.Epoch = 1
	n, err := pastry.NewRawNode(pastry.Config{Self: self, Rand: rand.New(rand.NewPCG(1, uint64(len(p.nodes))))})
	if err != nil {
		panic(err)
	}
	p.nodes = append(p.nodes, n)
	return n
}

// step feeds an input to a node and carries out what it asks for.
func (p *post) step(n *pastry.RawNode, in pastry.Input) {
	p.carryOut(n, n.Step(p.now, in, nil))
}

func (p *post) carryOut(n *pastry.RawNode, actions []pastry.Action) {
	for _, a := range actions {
		switch a.Kind {
		case pastry.ActSend:
			for _, to := range p.nodes {
				if to.Self().Peer == a.To.Peer {
					p.sent = append(p.sent, parcel{to, pastry.Input{Kind: pastry.InPacket, From: n.Self(), Packet: a.Packet}})
				}
			}
		case pastry.ActState:
			fmt.Printf("%s is %v\n", name(n.Self().Peer), a.State)
		case pastry.ActDeliver:
			fmt.Printf("%s delivers %q of %s\n", name(n.Self().Peer), a.Msg.Payload, name(a.Msg.Origin))
			p.step(n, pastry.Input{Kind: pastry.InDelivered, ID: a.Msg.ID, Payload: []byte("thanks")})
		case pastry.ActReceipt:
			fmt.Printf("%s gets %q from %s\n", name(n.Self().Peer), a.Answer.Payload, name(a.Answer.Root))
		}
	}
}

// run lets time pass: the next packet arrives, or the next deadline comes.
func (p *post) run(until pastry.Time) {
	for p.now < until {
		if len(p.sent) > 0 {
			next := p.sent[0]
			p.sent = p.sent[1:]
			p.now += pastry.Time(time.Millisecond)
			p.step(next.to, next.in)
			continue
		}
		first, at := -1, until
		for i, n := range p.nodes {
			if t, ok := n.Deadline(); ok && t < at {
				first, at = i, t
			}
		}
		p.now = max(p.now, at)
		if first >= 0 {
			p.carryOut(p.nodes[first], p.nodes[first].Advance(p.now, nil))
		}
	}
}

// Two nodes without a transport. Between two neighbours no message needs a
// signature; a driver of more nodes also answers ActSign and ActVouch, and
// ActForward where applications want to see what passes.
func ExampleRawNode() {
	var p post
	ada, bob := p.node("ada"), p.node("bob")
	p.step(ada, pastry.Input{Kind: pastry.InJoin}) // through nobody: begins a ring
	p.step(bob, pastry.Input{Kind: pastry.InJoin, Contacts: []*pastry.Contact{ada.Self()}})
	p.run(pastry.Time(time.Second))

	p.step(bob, pastry.Input{Kind: pastry.InRegister, App: "mail"})
	key := bob.Self().ID
	next, ok := ada.NextHop(key, nil)
	fmt.Println("ada's next hop:", next.Peer == "bob", ok)
	p.step(ada, pastry.Input{Kind: pastry.InRoute, TTL: time.Minute, Msg: &pastry.Routed{
		ID: pastry.MessageID{1}, App: "mail", Key: key, Origin: "ada", OriginID: ada.Self().ID, Payload: []byte("hello")}})
	p.run(p.now + pastry.Time(time.Second))
	// Output:
	// ada is joining
	// ada is active
	// bob is joining
	// bob is active
	// ada's next hop: true true
	// bob delivers "hello" of ada
	// ada gets "thanks" from bob
}
