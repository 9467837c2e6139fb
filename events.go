package pastry

import (
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
)

// The events a Node emits on its host's event bus. Subscribe to them with
//
//	sub, err := h.EventBus().Subscribe(new(pastry.EvtLeafSetChanged))
//
// A subscriber that does not read delays other subscribers but never the
// overlay: events are emitted by a goroutine of their own, and the oldest
// are thrown away when more than 1,024 wait. That goroutine outlives Close
// until such a subscriber reads or unsubscribes.

// EvtLeafSetChanged says that the leaf set has changed, and what it is now.
type EvtLeafSetChanged struct {
	Smaller []peer.ID // nearest first
	Larger  []peer.ID // nearest first
}

// EvtNodeJoined says that a node has entered the leaf set.
type EvtNodeJoined struct {
	Peer peer.ID
}

// EvtNodeGone says that a node that was in the leaf set, the routing table or
// the neighborhood set is gone for good: it left, or it was found dead.
type EvtNodeGone struct {
	Peer peer.ID
	Left bool // it said goodbye
}

// EvtHeartbeat says that the right neighbour has given its periodic sign of life,
// for want of anything else to say.
type EvtHeartbeat struct {
	Peer peer.ID
}

// EvtStateChanged says that this node has come to another place in its life.
type EvtStateChanged struct {
	State State
}

// EvtError says that something went wrong that no call can return: a neighbour
// that breaks the protocol or is not admitted, an application that panics.
type EvtError struct {
	Peer peer.ID // who it has to do with, if anybody
	Err  error
}

const (
	maxEvents  = 1024
	lastEvents = time.Second // for subscribers to take what is left at Close
)

// emitters holds an emitter for each type of event.
type emitters struct {
	leaves, joined, gone, heartbeat, state, provide, err event.Emitter
	queue                                                chan any
	ended                                                chan struct{} // closed when run has ended
}

func newEmitters(h host.Host) (*emitters, error) {
	e := &emitters{queue: make(chan any, maxEvents), ended: make(chan struct{})}
	for _, t := range []struct {
		to  *event.Emitter
		typ any
	}{{&e.leaves, new(EvtLeafSetChanged)}, {&e.joined, new(EvtNodeJoined)}, {&e.gone, new(EvtNodeGone)}, {&e.heartbeat, new(EvtHeartbeat)},
		{&e.state, new(EvtStateChanged)}, {&e.provide, new(EvtProvideProgress)}, {&e.err, new(EvtError)}} {
		em, err := h.EventBus().Emitter(t.typ)
		if err != nil {
			e.close()
			return nil, fmt.Errorf("pastry: event bus: %w", err)
		}
		*t.to = em
	}
	return e, nil
}

// post hands over an event without ever waiting.
func (e *emitters) post(ev any) {
	for {
		select {
		case e.queue <- ev:
			return
		default:
		}
		select {
		case <-e.queue:
		default:
		}
	}
}

// run emits what is posted until done is closed, then what is left.
func (e *emitters) run(done <-chan struct{}) {
	defer close(e.ended)
	defer e.close()
	for {
		select {
		case ev := <-e.queue:
			e.emit(ev)
			continue
		case <-done:
		}
		for {
			select {
			case ev := <-e.queue:
				e.emit(ev)
			default:
				return
			}
		}
	}
}

// wait waits for the end of run, but not for a subscriber that does not read.
func (e *emitters) wait() {
	timer := time.NewTimer(lastEvents)
	defer timer.Stop()
	select {
	case <-e.ended:
	case <-timer.C:
		log.Warn("a subscriber to the node's events does not read them")
	}
}

func (e *emitters) emit(ev any) {
	em := e.err
	switch ev.(type) {
	case EvtLeafSetChanged:
		em = e.leaves
	case EvtNodeJoined:
		em = e.joined
	case EvtNodeGone:
		em = e.gone
	case EvtHeartbeat:
		em = e.heartbeat
	case EvtStateChanged:
		em = e.state
	case EvtProvideProgress:
		em = e.provide
	}
	if err := em.Emit(ev); err != nil {
		log.Debugw("emit an event", "event", fmt.Sprintf("%T", ev), "err", err)
	}
}

// close gives the emitters back. It may not be called while one of them waits
// for a subscriber: the event bus is locked then.
func (e *emitters) close() {
	for _, em := range []event.Emitter{e.leaves, e.joined, e.gone, e.heartbeat, e.state, e.provide, e.err} {
		if em != nil {
			em.Close()
		}
	}
}
