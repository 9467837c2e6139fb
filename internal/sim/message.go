package sim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/ring"
)

// Message is the life of one routed message as nobody in the ring can see it.
type Message struct {
	Msg        *pastry.Routed
	Origin     int
	Sent       time.Duration // virtual time
	TTL        time.Duration
	Deliveries []Delivery
	Answer     *pastry.Answer // the receipt, nil before it came
	Ended      time.Duration  // when the receipt came, or the origin crashed
	gen        uint32         // the origin's incarnation
	over       bool           // Config.Ended was called
}

// messages are those sent, in order, without the first that are forgotten.
type messages struct {
	kept  []*Message
	first uint64 // number of the first of them
}

// rememberOver is how long a message that has ended is kept in mind, to find
// fault with what still happens to it.
const rememberOver = 2 * time.Minute

func (ms *messages) next() uint64 { return ms.first + uint64(len(ms.kept)) }

func (ms *messages) get(id pastry.MessageID) *Message {
	i := binary.BigEndian.Uint64(id[8:]) - ms.first
	if i < uint64(len(ms.kept)) && ms.kept[i].Msg.ID == id {
		return ms.kept[i]
	}
	return nil
}

// forget drops what has long been over.
func (ms *messages) forget(now time.Duration) {
	for len(ms.kept) > 0 && ms.kept[0].over && now-ms.kept[0].Ended > rememberOver {
		ms.kept[0] = nil
		ms.kept = ms.kept[1:]
		ms.first++
	}
}

// Delivery is a message given to the application of a node.
type Delivery struct {
	Node  int
	At    time.Duration
	State pastry.State // of the node
	Hops  int
	Path  []pastry.PeerID
	gen   uint32
}

// Latency returns the time from sending to the receipt.
func (m *Message) Latency() time.Duration { return m.Ended - m.Sent }

// OK reports whether the receipt came and says that all went well.
func (m *Message) OK() bool { return m.Answer != nil && m.Answer.Code == pastry.CodeOK }

func (m *Message) String() string { return fmt.Sprintf("message %x to %v", m.Msg.ID[8:], m.Msg.Key) }

// Route sends a message from node i towards key, to be given up after ttl.
func (s *Sim) Route(i int, key ring.ID, ttl time.Duration) *Message {
	return s.Send(i, &pastry.Routed{App: App, Key: key}, ttl)
}

// Send sends a message of which App, Key, Direct, Replicas and Payload are set, and fills
// in the rest. Its id ends in the number of the message.
func (s *Sim) Send(i int, msg *pastry.Routed, ttl time.Duration) *Message {
	n := s.nodes[i]
	binary.BigEndian.PutUint64(msg.ID[:8], s.rng.Uint64())
	binary.BigEndian.PutUint64(msg.ID[8:], s.messages.next())
	msg.Origin, msg.OriginID = n.contact.Peer, n.contact.ID
	m := &Message{Msg: msg, Origin: i, Sent: s.Now(), TTL: ttl, gen: n.gen}
	s.messages.kept = append(s.messages.kept, m)
	if s.Ended != nil {
		s.messages.forget(s.Now())
		n.open = append(n.open, m)
	}
	s.input(n, pastry.Input{Kind: pastry.InRoute, Msg: msg, TTL: ttl})
	return m
}

// Cancel makes the origin of a message give it up.
func (s *Sim) Cancel(m *Message) {
	s.input(s.nodes[m.Origin], pastry.Input{Kind: pastry.InCancel, ID: m.Msg.ID})
}

// RandomKey draws a key.
func (s *Sim) RandomKey() ring.ID { return ring.FromUint64s(s.rng.Uint64(), s.rng.Uint64()) }

// Messages returns every message sent so far, in order; with Config.Ended, those
// that have not ended.
func (s *Sim) Messages() []*Message {
	if s.Ended == nil {
		return s.messages.kept
	}
	var open []*Message
	for _, m := range s.messages.kept {
		if !m.over {
			open = append(open, m)
		}
	}
	return open
}

// end tells of a message that has ended.
func (s *Sim) end(m *Message) {
	if s.Ended == nil || m.over {
		return
	}
	m.over, m.Ended = true, s.Now()
	n := s.nodes[m.Origin]
	n.open = slices.DeleteFunc(n.open, func(o *Message) bool { return o == m })
	s.Ended(m)
}

// abandon ends the messages of a node that has crashed.
func (s *Sim) abandon(n *node) {
	for len(n.open) > 0 {
		s.end(n.open[0])
	}
}

// deliver plays the application, and checks what must hold for every delivery.
func (s *Sim) deliver(n *node, a *pastry.Action) {
	d := Delivery{Node: int(n.index), At: s.Now(), State: n.state, Hops: a.Hops, Path: a.Path, gen: n.gen}
	m := s.messages.get(a.Msg.ID)
	if m == nil {
		s.fault("node %d was to deliver message %x, which nobody sent", n.index, a.Msg.ID)
		return
	}
	if d.State != pastry.StateActive {
		s.fault("%v delivered by node %d, which is %v, at %v", m, d.Node, d.State, d.At)
	}
	s.checkOnce(m, d)
	m.Deliveries = append(m.Deliveries, d)
	reply := Reply{Payload: a.Msg.Payload}
	if s.Config.Deliver != nil {
		reply = s.Config.Deliver(d, a.Msg)
	}
	if !reply.Never {
		s.answer(n, reply.After, pastry.Input{
			Kind: pastry.InDelivered, ID: a.Msg.ID, Code: reply.Code, Payload: reply.Payload,
		})
	}
}

// checkOnce finds fault with a second delivery, unless all who delivered before
// have crashed since. Whether somebody who fell silent had delivered just before
// is what the others cannot know: no protocol can both never lose a message and
// never deliver it again when the root dies with the answer unsent.
func (s *Sim) checkOnce(m *Message, d Delivery) {
	for _, was := range m.Deliveries {
		if m.Msg.Replicas > 1 && was.Node != d.Node {
			continue // sent again, it may go to another one
		}
		if by := s.nodes[was.Node]; by.up && by.gen == was.gen {
			s.fault("%v delivered by node %d at %v and again by node %d at %v",
				m, was.Node, was.At, d.Node, d.At)
		}
	}
}

func (s *Sim) forward(n *node, a *pastry.Action) {
	msg := a.Msg
	if s.Forward != nil {
		msg = s.Forward(int(n.index), msg, a.To)
	}
	s.answer(n, 0, pastry.Input{Kind: pastry.InForwarded, ID: a.Msg.ID, Msg: msg})
}

func (s *Sim) receipt(n *node, a *pastry.Action) {
	m := s.messages.get(a.Answer.ID)
	switch {
	case m == nil:
		s.fault("node %d got a receipt for message %x, which nobody sent", n.index, a.Answer.ID)
	case m.Origin != int(n.index):
		s.fault("node %d got the receipt of %v, which is from node %d", n.index, m, m.Origin)
	case m.Answer != nil:
		s.fault("second receipt of %v at node %d: %v after %v", m, n.index, a.Answer.Code, m.Answer.Code)
	default:
		m.Answer, m.Ended = a.Answer, s.Now()
		s.end(m)
	}
}

func (s *Sim) fault(format string, args ...any) {
	s.faults = append(s.faults, fmt.Errorf(format, args...))
	if s.Trace != nil {
		fmt.Fprintf(s.Trace, "FAULT "+format+"\n", args...)
	}
}

// CheckHistory returns what was wrong at any time of the run: messages delivered
// twice or by nodes that were not active, calls that ended twice or not at all.
// A call may be outstanding until its TTL is over.
func (s *Sim) CheckHistory() error {
	errs := slices.Clip(s.faults)
	for _, m := range s.messages.kept {
		n := s.nodes[m.Origin]
		if m.Answer == nil && n.up && n.gen == m.gen && s.Now() > m.Sent+m.TTL+time.Second {
			errs = append(errs, fmt.Errorf("%v from node %d at %v never ended", m, m.Origin, m.Sent))
		}
	}
	return few(errs)
}

// few joins the first errors of a list that may be long.
func few(errs []error) error {
	const most = 8
	if len(errs) > most {
		errs = append(errs[:most:most], fmt.Errorf("and %d more", len(errs)-most))
	}
	return errors.Join(errs...)
}
