package explore

import (
	"slices"
	"testing"

	"github.com/secondbit/pastry"
)

// The two joins of the literature that are known to be wrong are played on the
// RawNode as it is: what it asks of others before it becomes active is answered by
// the driver, and never sent.

// published is the join of Rowstron and Druschel (2001), section 2.4: the joiner
// is active as soon as the root's answer has come, and only then tells the nodes
// that were named. Lu, Merz and Weidenbach (2011) show what is wrong with it.
func published(n *pastry.RawNode, now pastry.Time, in *pastry.Input) []pastry.Action {
	joining := n.State() == pastry.StateJoining
	out := step(n, now, in)
	if !joining || in == nil || in.Packet == nil || in.Packet.Kind != pastry.KindReply {
		return out
	}
	return feign(n, now, out, func(p *pastry.Packet) bool {
		return p.Kind == pastry.KindProbe && p.State == pastry.StateJoining || p.Kind == pastry.KindGrant
	})
}

// probed is the join of MSPastry (Castro, Costa, Rowstron, DSN 2004): the joiner
// becomes active when all its leaves have answered, without their leases.
func probed(n *pastry.RawNode, now pastry.Time, in *pastry.Input) []pastry.Action {
	return feign(n, now, step(n, now, in), func(p *pastry.Packet) bool { return p.Kind == pastry.KindGrant })
}

// feign answers those of a node's packets that match in the name of the active
// nodes they are for, as if all were well, and returns what is left.
func feign(n *pastry.RawNode, now pastry.Time, out []pastry.Action, match func(*pastry.Packet) bool) []pastry.Action {
	for {
		i := slices.IndexFunc(out, func(a pastry.Action) bool { return a.Kind == pastry.ActSend && match(a.Packet) })
		if i < 0 {
			return out
		}
		q, to := out[i].Packet, *out[i].To
		out = slices.Delete(out, i, i+1)
		to.Epoch = 1
		a := &pastry.Packet{Kind: pastry.KindProbeReply, State: pastry.StateActive, Seq: q.Seq, Want: q.Want, Version: 1}
		if q.Kind == pastry.KindGrant {
			a = &pastry.Packet{Kind: pastry.KindGrantReply, State: pastry.StateActive, Seq: q.Seq, Larger: q.Larger}
		}
		out = append(out, step(n, now, &pastry.Input{Kind: pastry.InPacket, From: &to, Packet: a})...)
	}
}

// TestBrokenJoins shows that the search finds what is wrong with joins that are.
func TestBrokenJoins(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  Config
		want int // steps to the fault
	}{
		{"published, one joiner", Config{Nodes: 2, Members: []int{0}, Step: published}, 5},
		{"published, two joiners", Config{Nodes: 3, Members: []int{0}, Step: published, joiners: true}, 10},
		{"leaves probed, two joiners", Config{Nodes: 3, Members: []int{0}, Step: probed, joiners: true}, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Depth, tt.cfg.Limit = 40, 100000
			r := Search(tt.cfg)
			if r.Fault == nil {
				t.Fatalf("nothing found: %v", r)
			}
			t.Logf("%v\n%s", r, trace(tt.cfg, r.Fault))
			if got := len(r.Fault.Path); got != tt.want {
				t.Errorf("the fault takes %d steps, want %d", got, tt.want)
			}
		})
	}
}
