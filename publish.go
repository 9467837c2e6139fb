package pastry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/secondbit/pastry/internal/records"
)

const (
	publishEvery = 6 * time.Hour          // a client's peer record is valid for 24 hours
	publishPause = time.Second            // after a failure; doubles
	publishSlow  = 10 * time.Minute       // the longest pause
	publishDelay = 250 * time.Millisecond // after a change, as addresses change together
)

// publish keeps the peer record of a client in the ring, so that FindPeer finds
// it. A member is the root of its own ID and answers itself.
func (n *Node) publish() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	pause := publishPause
	for {
		select {
		case <-n.republish:
			timer.Reset(publishDelay)
			continue
		case <-timer.C:
		case <-n.closed:
			return
		}
		if n.State() != StateClient {
			continue // it is told when that changes
		}
		if err := n.publishOnce(n.ctx); err != nil {
			log.Infow("peer record not published", "again in", pause, "err", err)
			timer.Reset(pause)
			pause = min(2*pause, publishSlow)
			continue
		}
		pause = publishPause
		timer.Reset(publishEvery)
	}
}

// publishOnce seals a new peer record and has it stored.
func (n *Node) publishOnce(ctx context.Context) error {
	if len(n.host.Addrs()) == 0 {
		return nil // nobody could use it
	}
	sealed, err := n.sealOwn()
	if err != nil {
		return fmt.Errorf("pastry: seal the peer record: %w", err)
	}
	r := &records.Record{Type: records.TypePeer, Name: []byte(n.host.ID()), Peer: n.host.ID(), Data: sealed}
	err = n.storeAtRoot(ctx, r)
	if errors.Is(err, ErrRecordStale) { // sealed again meanwhile
		return nil
	}
	return err
}

// mayHaveMoved notes that what the ring knows of a client is out of date.
func (n *Node) mayHaveMoved() {
	select {
	case n.republish <- struct{}{}:
	default:
	}
}
