package sim

import (
	"fmt"
	"math/bits"
	"time"

	"github.com/secondbit/pastry"
)

// send puts a packet on the wire. Whether the target is there and reachable is
// asked now and again on arrival.
func (s *Sim) send(n *node, a *pastry.Action) {
	s.counts.Packets++
	to := s.nodes[indexOf(a.To.Peer)]
	d := s.delay(n, to)
	if !to.up || to.group != n.group {
		s.counts.Cut++
		s.fail(n, a)
		return
	}
	if s.Loss > 0 && s.rng.Float64() < s.Loss {
		s.counts.Lost++
		return
	}
	s.queue.push(s.now+pastry.Time(d), event{
		kind: evPacket, node: to.index, gen: to.gen, from: n.index, peer: n.raw.Self(), packet: a.Packet,
	})
}

func (s *Sim) fail(n *node, a *pastry.Action) {
	if s.FailAfter > 0 {
		s.queue.push(s.now+pastry.Time(s.FailAfter), event{
			kind: evFailed, node: n.index, gen: n.gen, from: n.index, peer: a.To, packet: a.Packet,
		})
	}
}

// arrive hands a packet to its target.
func (s *Sim) arrive(n *node, e *event) {
	from := s.nodes[e.from]
	if from.group != n.group {
		s.counts.Cut++
		return
	}
	s.note(e)
	if s.Connect && from.up {
		s.connect(n, from)
		s.connect(from, n)
	}
	s.input(n, pastry.Input{Kind: pastry.InPacket, From: e.peer, Packet: e.packet})
}

// connect tells n of a connection to another node unless it knows.
func (s *Sim) connect(n, other *node) {
	if n.conns[other.index] == other.gen {
		return
	}
	if n.conns == nil {
		n.conns = make(map[int32]uint32)
	}
	n.conns[other.index] = other.gen
	s.input(n, pastry.Input{Kind: pastry.InConnected, From: other.contact})
}

// delay draws how long a packet takes from one node to another.
func (s *Sim) delay(from, to *node) time.Duration {
	d := s.distance(from, to)
	if s.Jitter > 0 {
		d += time.Duration(s.Jitter * s.rng.Float64() * float64(d))
	}
	if s.Late > 0 && s.rng.Float64() < s.Late {
		d += time.Duration(s.rng.Int64N(int64(s.LateBy) + 1))
	}
	return d
}

func (s *Sim) distance(from, to *node) time.Duration {
	if s.Latency != nil {
		return s.Latency(int(from.index), int(to.index))
	}
	return s.Topology.Delay(&from.place, &to.place)
}

// Direct returns the time a packet takes from one node to another, jitter left
// out.
func (s *Sim) Direct(i, j int) time.Duration { return s.distance(s.nodes[i], s.nodes[j]) }

// RTT returns the round trip between two nodes, jitter left out.
func (s *Sim) RTT(i, j int) time.Duration {
	return s.distance(s.nodes[i], s.nodes[j]) + s.distance(s.nodes[j], s.nodes[i])
}

// note takes an event into the trace.
func (s *Sim) note(e *event) {
	s.counts.Events++
	kind, seq := uint64(0), uint64(0)
	if e.packet != nil {
		kind, seq = uint64(e.packet.Kind), e.packet.Seq
	}
	s.mix(uint64(s.now))
	s.mix(uint64(e.kind) | kind<<8 | uint64(uint32(e.node))<<16 | uint64(uint16(e.from))<<48)
	s.mix(seq)
	if s.Trace != nil {
		s.print(e)
	}
}

// mix takes a word into the hash. Its order counts.
func (s *Sim) mix(word uint64) {
	hi, lo := bits.Mul64(s.hash^word, 0x9e3779b97f4a7c15)
	s.hash = bits.RotateLeft64(hi^lo, 29) + word
}

func (s *Sim) print(e *event) {
	fmt.Fprintf(s.Trace, "%13.6f n%d %s", s.Now().Seconds(), e.node, eventNames[e.kind])
	if p := e.packet; p != nil {
		fmt.Fprintf(s.Trace, " n%d %v seq=%d state=%v", e.from, p.Kind, p.Seq, p.State)
		switch p.Kind {
		case pastry.KindRoute:
			fmt.Fprintf(s.Trace, " msg=%x key=%v join=%t hops=%d attempt=%d", p.Msg.ID[8:], p.Msg.Key, p.Msg.Join, p.Hops, p.Attempt)
		case pastry.KindReply:
			fmt.Fprintf(s.Trace, " msg=%x code=%v attempt=%d", p.Answer.ID[8:], p.Answer.Code, p.Attempt)
		case pastry.KindAck, pastry.KindGrantReply:
			fmt.Fprintf(s.Trace, " code=%v", p.Code)
		case pastry.KindProbe, pastry.KindProbeReply:
			fmt.Fprintf(s.Trace, " want=%d contacts=%d version=%d", p.Want, len(p.Contacts), p.Version)
		case pastry.KindSuspect:
			fmt.Fprintf(s.Trace, " suspects=%v", p.Suspects)
		}
	}
	if e.kind == evInput {
		fmt.Fprintf(s.Trace, " kind=%d msg=%x", e.input.Kind, e.input.ID[8:])
	}
	fmt.Fprintln(s.Trace)
}
