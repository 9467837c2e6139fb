package testutil

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/ring"
)

// An Oracle knows the members of a ring at one moment, and so what each of them
// should know: the roots of keys, the leaf sets, the replicas. It is immutable.
type Oracle struct {
	members []*pastry.Node // by id
	half    int            // leaves on a side
	name    func(peer.ID) string
}

// NewOracle returns the oracle of the ring that the nodes form, each of which
// has leaf sets of the given size. Nodes that are not active are left out.
func NewOracle(leafSetSize int, nodes ...*pastry.Node) *Oracle {
	return newOracle(leafSetSize, nodes, peer.ID.String)
}

func newOracle(leafSetSize int, nodes []*pastry.Node, name func(peer.ID) string) *Oracle {
	o := &Oracle{half: leafSetSize / 2, name: name}
	for _, n := range nodes {
		if n.State() == pastry.StateActive {
			o.members = append(o.members, n)
		}
	}
	slices.SortFunc(o.members, func(a, b *pastry.Node) int { return a.ID().Compare(b.ID()) })
	return o
}

// Oracle returns the oracle of the live members at this moment: all, or those
// among the nodes given, such as one part of a partition.
func (c *Cluster) Oracle(among ...int) *Oracle {
	var live []*pastry.Node
	for i := range c.Len() {
		if c.Live(i) && (len(among) == 0 || slices.Contains(among, i)) {
			live = append(live, c.Node(i))
		}
	}
	return newOracle(c.cfg.LeafSetSize, live, c.nodeName)
}

func (c *Cluster) nodeName(p peer.ID) string {
	if i := c.Index(p); i >= 0 {
		return fmt.Sprint("node ", i)
	}
	return p.String()
}

// Members returns the members in the order of their ids.
func (o *Oracle) Members() []*pastry.Node { return slices.Clone(o.members) }

// Root returns the member that delivers the messages for key, nil in an empty
// ring.
func (o *Oracle) Root(key ring.ID) *pastry.Node {
	if len(o.members) == 0 {
		return nil
	}
	return slices.MinFunc(o.members, func(a, b *pastry.Node) int { return ring.CompareDistance(key, a.ID(), b.ID()) })
}

// Replicas returns the k members closest to key, the root first; all of them in
// a smaller ring.
func (o *Oracle) Replicas(key ring.ID, k int) []peer.ID {
	all := slices.Clone(o.members)
	slices.SortFunc(all, func(a, b *pastry.Node) int { return ring.CompareDistance(key, a.ID(), b.ID()) })
	return peerIDs(all[:min(k, len(all))])
}

func peerIDs(nodes []*pastry.Node) []peer.ID {
	ps := make([]peer.ID, len(nodes))
	for i, n := range nodes {
		ps[i] = n.Host().ID()
	}
	return ps
}

// Leaves returns what the leaf set of a member must hold, nearest first: on each
// side the L/2 next members, or all others where there are fewer. It reports
// false when p is not a member.
func (o *Oracle) Leaves(p peer.ID) (smaller, larger []peer.ID, ok bool) {
	at := slices.IndexFunc(o.members, func(n *pastry.Node) bool { return n.Host().ID() == p })
	if at < 0 {
		return nil, nil, false
	}
	count := len(o.members)
	for k := 1; k <= min(o.half, count-1); k++ {
		smaller = append(smaller, o.members[(at-k+count)%count].Host().ID())
		larger = append(larger, o.members[(at+k)%count].Host().ID())
	}
	return smaller, larger, true
}

// maxComplaints bounds what an error of a check lists.
const maxComplaints = 10

// complaints joins errors, the first of them if there are many.
func complaints(errs []error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if more := len(errs) - maxComplaints; more > 0 {
		errs = append(errs[:maxComplaints], fmt.Errorf("and %d more", more))
	}
	return errors.Join(errs...)
}

// CheckLeafSets returns an error that names the leaf sets which are not exact,
// and what they lack or hold in excess.
func (o *Oracle) CheckLeafSets(ctx context.Context) error {
	var errs []error
	for _, n := range o.members {
		info, err := n.Info(ctx)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", o.name(n.Host().ID()), err))
			continue
		}
		smaller, larger, _ := o.Leaves(n.Host().ID())
		errs = append(errs, o.compare(n, "smaller", info.Smaller, smaller), o.compare(n, "larger", info.Larger, larger))
	}
	return complaints(errs)
}

func (o *Oracle) compare(n *pastry.Node, side string, has []pastry.InfoContact, want []peer.ID) error {
	got := make([]peer.ID, len(has))
	for i, c := range has {
		got[i] = c.Peer
	}
	if slices.Equal(got, want) {
		return nil
	}
	return fmt.Errorf("%s has not exactly its %s leaves: lacks %v, has %v in excess",
		o.name(n.Host().ID()), side, o.without(want, got), o.without(got, want))
}

// without names those of a that are not in b.
func (o *Oracle) without(a, b []peer.ID) []string {
	names := []string{}
	for _, p := range a {
		if !slices.Contains(b, p) {
			names = append(names, o.name(p))
		}
	}
	return names
}
