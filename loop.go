package pastry

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	perTurn  = 16               // packets taken from one link before the next has its turn
	tidyTime = 30 * time.Second // between two rounds of tagging and closing connections
)

// run is the goroutine that owns the core. It takes inputs from callers, from
// the links in turn, and from the core's own timers, and carries out actions.
// Nothing in it waits.
func (n *Node) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	tidy := time.NewTicker(tidyTime)
	defer tidy.Stop()
	var out []Action
	for {
		select {
		case in := <-n.inputs:
			if in.Kind == InDisconnected && n.links.linked(in.From.Peer) {
				continue // a new link came first
			}
			out = n.raw.Step(n.now(), in, out[:0])
		case f := <-n.asks:
			f(n.raw)
			out = out[:0]
		case <-n.wake:
			out = n.turn(out[:0])
		case <-timer.C:
			out = n.turn(out[:0]) // what has come in is not late
			out = n.raw.Advance(n.now(), out)
		case <-tidy.C:
			n.tidy()
			out = out[:0]
		case <-n.stop:
			return
		}
		out = n.carryOut(out)
		if d, ok := n.raw.Deadline(); ok {
			timer.Reset(max(0, time.Duration(d-n.now())))
		}
	}
}

// do runs f in the core's goroutine and waits for it. f must not wait.
func (n *Node) do(ctx context.Context, f func(*RawNode)) error {
	done := make(chan struct{})
	select {
	case n.asks <- func(r *RawNode) { f(r); close(done) }:
		<-done
		return nil
	case <-n.stop:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// turn takes a few packets from every link that has some.
func (n *Node) turn(out []Action) []Action {
	n.mu.Lock()
	ready := n.ready
	n.ready = nil
	n.mu.Unlock()
	for _, l := range ready {
		l.waiting.Store(false)
		for range perTurn {
			select {
			case in := <-l.in:
				if in.Packet.weight() > largePacket {
					<-l.large
				}
				out = n.raw.Step(n.now(), in, out)
				continue
			default:
			}
			break
		}
		if len(l.in) > 0 {
			n.schedule(l)
		}
	}
	return out
}

// carryOut does what the core asks for, and what follows from it.
func (n *Node) carryOut(out []Action) []Action {
	for {
		for i := range out {
			n.act(&out[i])
			out[i] = Action{}
		}
		if len(n.local) == 0 {
			return out
		}
		in := n.local[0]
		n.local = n.local[1:]
		out = n.raw.Step(n.now(), in, out[:0])
	}
}

func (n *Node) act(a *Action) {
	switch a.Kind {
	case ActSend:
		if !n.links.send(a.To, a.Packet) {
			n.drop(DropOutbox)
			n.local = append(n.local, Input{Kind: InSendFailed, From: a.To, Packet: a.Packet})
		}
	case ActDeliver:
		n.deliver(a)
	case ActForward:
		n.forward(a)
	case ActReceipt:
		n.receipt(a)
	case ActSign:
		m := a.Msg
		n.spawn(func() { n.post(Input{Kind: InSigned, ID: m.ID, Msg: n.sign(m)}) })
	case ActVouch:
		answer := a.Answer
		n.spawn(func() { n.post(Input{Kind: InVouched, ID: answer.ID, Auth: n.vouch(answer)}) })
	case ActState:
		n.setState(a.State)
	case ActLeaves:
		n.leavesChanged()
	case ActJoined:
		n.events.post(EvtNodeJoined{Peer: a.To.Peer})
	case ActGone:
		n.events.post(EvtNodeGone{Peer: a.To.Peer, Left: a.Code == CodeNotActive})
	case ActHeartbeat:
		n.events.post(EvtHeartbeat{Peer: a.To.Peer})
	case ActForget:
		p := a.To.Peer
		n.spawn(func() { n.links.abandon(p) })
	}
}

func (n *Node) setState(s State) {
	n.state.Store(int32(s))
	n.look()
	if s == StateClient {
		n.mayHaveMoved()
	}
	n.mu.Lock()
	close(n.changed)
	n.changed = make(chan struct{})
	n.mu.Unlock()
	n.events.post(EvtStateChanged{State: s})
}

// look notes what the node sees of the ring.
func (n *Node) look() {
	n.sight.Store(newSight(n.raw))
	n.keeper.upkeep.changed()
}

// leavesChanged protects the connections to leaves and tells subscribers.
func (n *Node) leavesChanged() {
	ev := EvtLeafSetChanged{Smaller: peersOf(n.raw.Leaves().Smaller()), Larger: peersOf(n.raw.Leaves().Larger())}
	now := make(map[peer.ID]struct{})
	for _, side := range [2][]peer.ID{ev.Smaller, ev.Larger} {
		for _, p := range side {
			now[p] = struct{}{}
			n.host.ConnManager().Protect(p, protectTag)
		}
	}
	for p := range n.leaves {
		if _, still := now[p]; !still {
			n.host.ConnManager().Unprotect(p, protectTag)
		}
	}
	n.leaves = now
	n.look()
	n.events.post(ev)
	n.disk.changed()
}

const (
	protectTag = "pastry-leaf"
	tableTag   = "pastry-table"
	tableValue = 20 // of a table entry's connection, to the connection manager
)

// tidy tags the connections to table entries, and closes links that nobody
// needs.
func (n *Node) tidy() {
	now := make(map[peer.ID]struct{})
	for _, c := range n.raw.Neighborhood().AppendMembers(n.raw.Table().AppendAll(nil)) {
		now[c.Peer] = struct{}{}
		n.host.ConnManager().TagPeer(c.Peer, tableTag, tableValue)
	}
	for p := range n.tagged {
		if _, still := now[p]; !still {
			n.host.ConnManager().UntagPeer(p, tableTag)
		}
	}
	n.tagged = now
	n.links.forget(n.now())
	n.links.closeIdle(n.now(), func(p peer.ID) bool {
		_, leaf := n.leaves[p]
		_, entry := n.tagged[p]
		return leaf || entry
	})
}

// unprotect takes back what leavesChanged and tidy told the connection manager.
// The core's goroutine has ended.
func (n *Node) unprotect() {
	for p := range n.leaves {
		n.host.ConnManager().Unprotect(p, protectTag)
	}
	for p := range n.tagged {
		n.host.ConnManager().UntagPeer(p, tableTag)
	}
}

func peersOf(cs []*Contact) []peer.ID {
	ps := make([]peer.ID, len(cs))
	for i, c := range cs {
		ps[i] = c.Peer
	}
	return ps
}

// setReachability makes a node in ModeAuto a member or a client, as the host
// can or cannot be reached. It runs in the core's goroutine: the present
// incarnation ends and another one joins through those it knew.
// It reports whether the mode changed.
func (n *Node) setReachability(r network.Reachability) bool {
	client := r == network.ReachabilityPrivate
	if n.isClosed() || n.opts.mode != ModeAuto || r == network.ReachabilityUnknown || client == n.self.Load().Client {
		return false
	}
	was := n.raw.State()
	known := n.raw.Neighborhood().AppendMembers(n.raw.Leaves().AppendMembers(nil))
	leave := Input{Kind: InLeave}
	n.local = append(n.local, leave, leave) // without waiting for those it tells
	n.carryOut(nil)
	if err := n.newCore(client, n.self.Load().Epoch+1); err != nil {
		n.events.post(EvtError{Err: err})
		return false
	}
	n.spawn(n.links.announce)
	n.restoreApps()
	if was != StateIdle {
		n.local = append(n.local, Input{Kind: InJoin, Contacts: known})
	}
	n.carryOut(nil)
	return true
}
