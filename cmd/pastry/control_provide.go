package main

import (
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/multiformats/go-multihash"

	"github.com/secondbit/pastry"
)

// keepPoll is the time between two looks at what the node still has to announce.
const keepPoll = 100 * time.Millisecond

func (c *control) provide(ctx context.Context, req provideRequest, emit func(provideProgress) error) error {
	mhs, err := multihashes(req.CIDs)
	if err != nil {
		return err
	}
	switch {
	case req.Stop:
		err = c.node.StopProviding(mhs...)
	case !c.node.Ready():
		return errNotJoined
	case req.Keep:
		err = c.keep(ctx, mhs, emit)
	default:
		err = c.provideOnce(ctx, mhs, emit)
	}
	if err != nil {
		return impatient(ctx, req.limit(), err)
	}
	return emit(provideProgress{Done: len(mhs), Total: len(mhs)})
}

// provideOnce announces contents. One request at a time does, as the node's events
// do not tell whose progress they report.
func (c *control) provideOnce(ctx context.Context, mhs []multihash.Multihash, emit func(provideProgress) error) error {
	select {
	case c.providing <- struct{}{}:
		defer func() { <-c.providing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	sub, err := c.node.Host().EventBus().Subscribe(new(pastry.EvtProvideProgress), eventbus.Name("pastry provide"))
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { ended <- c.node.ProvideMany(ctx, mhs) }()
	for {
		select {
		case e := <-sub.Out():
			p, ok := e.(pastry.EvtProvideProgress)
			if !ok || p.Total != len(mhs) { // of an earlier call
				continue
			}
			if err := emit(provideProgress{Done: p.Done, Total: p.Total}); err != nil {
				cancel()
			}
		case err := <-ended:
			_ = sub.Close() // never fails
			return err
		}
	}
}

// keep puts contents into the set that the node goes on announcing, and waits until
// it has announced all of that for the first time. If ctx ends before, the node
// goes on all the same.
func (c *control) keep(ctx context.Context, mhs []multihash.Multihash, emit func(provideProgress) error) error {
	failed := c.node.ProvideStats().Failed
	if err := c.node.StartProviding(false, mhs...); err != nil {
		return err
	}
	tick := time.NewTicker(keepPoll)
	defer tick.Stop()
	for told := 0; ; {
		s := c.node.ProvideStats()
		if s.Due == 0 {
			if n := s.Failed - failed; n > 0 {
				return fmt.Errorf("kept, but %d announcements failed on the way; the node tries again within a day, "+
					"and \"pastry provide\" without -keep says what is wrong", n)
			}
			return nil
		}
		if done := max(0, len(mhs)-s.Due); done > told {
			told = done
			if err := emit(provideProgress{Done: done, Total: len(mhs)}); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("kept, and the node goes on announcing; %d are still to be announced: %w", s.Due, ctx.Err())
		}
	}
}
