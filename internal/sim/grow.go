package sim

import (
	"context"
	"fmt"
	"time"

	"github.com/secondbit/pastry"
)

const (
	tick       = 100 * time.Millisecond // of the joins
	smallRing  = 20                     // members that a smaller ring counts as, for the rate of joins
	settleTime = 10 * time.Minute       // at the most, after the last node was told to join
)

// Grow lets nodes join until n are active members and every leaf set is exact.
// It takes the nodes that are there into account and adds the rest, each
// joining through one random member; with nobody active it starts a ring. rate
// is how many join a second for every hundred members, so that the time taken
// grows with the logarithm of n. progress, if not nil, is told the share that is
// done.
//
// It returns an error when ctx is over, or when the ring is not exact 10 virtual
// minutes after the last join began. Nodes should not crash meanwhile.
func (s *Sim) Grow(ctx context.Context, n int, rate float64, progress func(share float64)) error {
	if rate <= 0 {
		return fmt.Errorf("sim: Grow: rate is %g, must be positive", rate)
	}
	if progress == nil {
		progress = func(float64) {}
	}
	credit := 0.0 // joins that are due
	for s.CountActive()+s.joiners < n {
		if err := ctx.Err(); err != nil {
			return err
		}
		credit += rate / 100 * float64(max(s.CountActive(), smallRing)) * tick.Seconds()
		for ; credit >= 1 && s.CountActive()+s.joiners < n; credit-- {
			s.joinOne()
		}
		s.Run(tick)
		progress(float64(s.CountActive()) / float64(n+1))
	}
	return s.settle(ctx, n, progress)
}

// joinOne adds a node that joins through a random member.
func (s *Sim) joinOne() {
	via := s.RandomActive()
	i := s.Add()
	if via < 0 {
		s.Join(i)
		return
	}
	s.Join(i, via)
}

// settle waits until n nodes are active and all leaf sets exact.
func (s *Sim) settle(ctx context.Context, n int, progress func(share float64)) error {
	end := s.Now() + settleTime
	for s.CountActive() < n || !s.Exact() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if s.Now() >= end {
			return fmt.Errorf("sim: %d nodes active after %v, want %d: %w, %w",
				s.CountActive(), s.Now(), n, s.CheckActive(), s.Ring(nil).CheckLeafSets())
		}
		s.Run(time.Second)
		progress(float64(s.CountActive()) / float64(n+1))
	}
	progress(1)
	return nil
}

// Exact reports whether the leaf set of every active member is exact.
func (s *Sim) Exact() bool {
	if s.CountActive() == 0 {
		return true
	}
	at := s.members.from(s.members.chunks[0][0].id)
	for range s.CountActive() {
		n := s.nodes[at.point().node]
		if n.raw == nil { // of a perfect ring
			at.up()
			continue
		}
		leaves := n.raw.Leaves()
		if !s.exactSide(at, n, leaves.Smaller(), (*cursor).down) || !s.exactSide(at, n, leaves.Larger(), (*cursor).up) {
			return false
		}
		at.up()
	}
	return true
}

// exactSide compares a side of the leaf set of the member at a place with the
// members that follow it there.
func (s *Sim) exactSide(at cursor, n *node, side []*pastry.Contact, next func(*cursor)) bool {
	if len(side) != min(n.half, s.CountActive()-1) {
		return false
	}
	for _, c := range side {
		if next(&at); at.point().id != c.ID {
			return false
		}
	}
	return true
}
