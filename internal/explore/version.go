package explore

import (
	"slices"
	"time"

	"github.com/secondbit/pastry"
)

// stimulus is what makes a new version of a node of an old one: a packet, the
// word to join, or a timer that is due. Equal ones have equal effects.
type stimulus struct {
	at     pastry.Time
	packet *pastry.Packet // nil: see join
	from   int
	join   bool // else timers that are due
}

// version is one node at one point of one history, and what can be seen of it.
type version struct {
	node   int
	at     pastry.Time // of its last step
	parent *version
	cause  stimulus
	raw    *pastry.RawNode // nil when the node must be brought back
	kids   map[stimulus]*version

	sent     []*letter // in the step that made it
	visible  bool      // something was sent, or the state changed
	state    pastry.State
	deadline pastry.Time // of a timer that means something, zero if none
	sides    [2][]int    // of the leaf set, nearest first
	buried   uint16      // nodes it found dead in the step that made it
	roots    [9]uint64   // the keys it would deliver
	messages []pastry.MessageID

	// of its Snapshot
	hash   uint64
	refs   []pastry.Ref
	waits  []uint64
	leaves uint64
}

// letter is a packet that was sent.
type letter struct {
	from, to int
	packet   *pastry.Packet
	hash     uint64
	refs     []pastry.Ref
}

// newborn returns node i, idle.
func (l *lab) newborn(i int) *version {
	v := &version{node: i, at: began, raw: l.node(i)}
	l.see(v)
	return v
}

// next returns the version that a stimulus makes of v. It is made once; in a live
// one, v gives its node away and nothing is remembered.
func (l *lab) next(v *version, s stimulus, live bool) *version {
	if u := v.kids[s]; u != nil {
		return u
	}
	u := &version{node: v.node, at: s.at, messages: v.messages}
	u.raw, v.raw = v.raw, nil
	if u.raw == nil {
		u.raw = l.bring(v)
	}
	l.steps++
	l.observe(u, l.act(u.raw, u.node, s))
	if live {
		l.see(u)
		return u
	}
	l.see(u)
	l.snapshot(u)
	u.parent, u.cause, u.raw = v, s, nil
	if v.kids == nil {
		v.kids = make(map[stimulus]*version)
	}
	v.kids[s] = u
	return u
}

// bring makes the node of a version by repeating its history.
func (l *lab) bring(v *version) *pastry.RawNode {
	var history []stimulus
	for u := v; u.parent != nil; u = u.parent {
		history = append(history, u.cause)
	}
	raw := l.node(v.node)
	for _, s := range slices.Backward(history) {
		l.act(raw, v.node, s)
	}
	l.replays += len(history)
	return raw
}

// alive returns v with its node in it, as the start of a live run.
func (l *lab) alive(v *version) *version {
	u := *v
	u.raw, u.parent, u.kids = l.bring(v), nil, nil
	return &u
}

// act gives a node a stimulus and returns what it does.
func (l *lab) act(raw *pastry.RawNode, node int, s stimulus) []pastry.Action {
	switch {
	case s.packet != nil:
		return l.Step(raw, s.at, &pastry.Input{Kind: pastry.InPacket, From: l.contacts[s.from], Packet: s.packet})
	case s.join:
		return l.Step(raw, s.at, &pastry.Input{Kind: pastry.InJoin, Contacts: l.seeds(node)})
	}
	return l.Step(raw, s.at, nil)
}

// observe takes down what the step that made u did.
func (l *lab) observe(u *version, out []pastry.Action) {
	for i := range out {
		switch a := &out[i]; a.Kind {
		case pastry.ActSend:
			u.visible = true
			u.sent = append(u.sent, &letter{from: u.node, to: l.index[a.To.ID], packet: a.Packet})
			l.register(u, a.Packet)
		case pastry.ActForget:
			u.buried |= 1 << l.index[a.To.ID]
		case pastry.ActState:
			u.visible = true
		}
	}
}

// register notes a message that the node itself sends for the first time.
func (l *lab) register(u *version, p *pastry.Packet) {
	if p.Kind != pastry.KindRoute || p.Msg.OriginID != l.contacts[u.node].ID || slices.Contains(u.messages, p.Msg.ID) {
		return
	}
	u.messages = append(slices.Clip(u.messages), p.Msg.ID)
	l.origin[p.Msg.ID] = u.node
}

// see reads from the node what rules are about.
func (l *lab) see(u *version) {
	u.state = u.raw.State()
	u.deadline, _ = u.raw.Deadline()
	for i, side := range [2][]*pastry.Contact{u.raw.Leaves().Smaller(), u.raw.Leaves().Larger()} {
		for _, c := range side {
			u.sides[i] = append(u.sides[i], l.index[c.ID])
		}
	}
	if u.state == pastry.StateActive {
		for i, k := range l.keys {
			if _, elsewhere := u.raw.NextHop(k, nil); !elsewhere {
				u.roots[i/64] |= 1 << (i % 64)
			}
		}
	}
}

// snapshot reads from the node, and from what it sent, what tells states apart.
func (l *lab) snapshot(u *version) {
	u.raw.Snapshot(time.Duration(grain), &l.snap)
	u.deadline = l.snap.Due
	u.hash, u.refs, u.waits, u.leaves = digest(l.snap.Bytes), slices.Clone(l.snap.Refs), slices.Clone(l.snap.Waits), l.snap.Version
	for _, s := range u.sent {
		s.packet.Snapshot(l.contacts[s.from].ID, l.contacts[s.to].ID, time.Duration(grain), &l.snap)
		s.hash, s.refs = digest(l.snap.Bytes), slices.Clone(l.snap.Refs)
	}
}
