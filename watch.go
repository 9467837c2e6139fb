package pastry

import (
	"fmt"

	"github.com/libp2p/go-libp2p/core/event"
)

// watcher follows what the host learns about itself: its addresses, which go
// into the node's peer record, and whether it can be reached.
type watcher struct {
	n   *Node
	sub event.Subscription
}

func newWatcher(n *Node) (*watcher, error) {
	sub, err := n.host.EventBus().Subscribe([]any{
		new(event.EvtLocalAddressesUpdated), new(event.EvtLocalReachabilityChanged)})
	if err != nil {
		return nil, fmt.Errorf("pastry: subscribe to the host's events: %w", err)
	}
	return &watcher{n: n, sub: sub}, nil
}

func (w *watcher) close() { w.sub.Close() }

func (w *watcher) run() {
	defer w.close()
	for {
		select {
		case ev, ok := <-w.sub.Out():
			if !ok {
				return
			}
			w.take(ev)
		case <-w.n.stop:
			return
		}
	}
}

func (w *watcher) take(ev any) {
	switch ev := ev.(type) {
	case event.EvtLocalAddressesUpdated:
		w.n.renewContact()
	case event.EvtLocalReachabilityChanged:
		moved := false
		_ = w.n.do(w.n.ctx, func(*RawNode) { moved = w.n.setReachability(ev.Reachability) })
		if moved { // the host tells its subscribers, which may take a while
			w.n.serve(!w.n.self.Load().Client && !w.n.isClosed())
		}
	}
}

// renewContact seals a new peer record and tells the neighbours.
func (n *Node) renewContact() {
	record, err := n.sealOwn()
	if err != nil {
		n.events.post(EvtError{Err: fmt.Errorf("pastry: seal the peer record: %w", err)})
		return
	}
	_ = n.do(n.ctx, func(r *RawNode) {
		c := *n.self.Load()
		c.Record = record
		n.self.Store(&c)
		n.local = append(n.local, Input{Kind: InSelf, From: &c})
	})
	n.links.announce()
	n.mayHaveMoved()
}
