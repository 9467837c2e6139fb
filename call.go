package pastry

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry/ring"
)

// Route sends a message of an application towards key. The live node whose id
// is closest to key delivers it, once; Route returns what that node answered.
// It waits until the answer comes, ctx ends, or a minute has passed if ctx has
// no deadline; a message that cannot be delivered gives an error, never
// silence. A payload has at most 512 KiB and is copied.
//
// The error is an *AppError when the application at the root returned one, and
// otherwise wraps one of the errors that say how a message can fail, ErrForged,
// ErrClosed, or the error of ctx. The Receipt that comes with an AppError says
// who returned it. A call that ended for want of time or was cancelled may have
// been delivered.
//
// A message whose deliverer crashes before its answer arrives may be delivered
// again by the next root, as nobody can tell that from a crash before.
func (n *Node) Route(ctx context.Context, app string, key ring.ID, payload []byte) (Receipt, error) {
	return n.send(ctx, &Routed{App: app, Key: key, Payload: payload}, nil)
}

// RouteNearest sends a message like Route, but any of the replicas members
// closest to key may deliver it, such as those that keep copies of something: the
// one nearest to this node, as far as who hands it on can judge. Where that is
// worth its hops, as for a large transfer, is the caller's to know: a message may
// have to pass the root to find out. The order of preference is by network
// coordinates (see WithProximity), and members that are silent are passed over.
//
// replicas is at least 1, which is Route, and at most half the leaf set and one: of
// more no node can see all, and the root delivers. Unlike a message for the root
// alone, one that is sent again, for want of an acknowledgement or of an answer, can be
// delivered by two of them; and while a death is not yet known to all, by the next
// member after them.
func (n *Node) RouteNearest(ctx context.Context, app string, key ring.ID, replicas int, payload []byte) (Receipt, error) {
	cfg := n.opts.core
	cfg.setDefaults()
	if most := cfg.LeafSetSize/2 + 1; replicas < 1 || replicas > most {
		return Receipt{}, fmt.Errorf("pastry: RouteNearest: %d replicas, must be 1 to %d, half the leaf set and one", replicas, most)
	}
	if replicas == 1 {
		return n.Route(ctx, app, key, payload)
	}
	return n.send(ctx, &Routed{App: app, Key: key, Replicas: replicas, Payload: payload}, nil)
}

// Send sends a message of an application to one member, or to a client that is
// a neighbour of somebody on the way, and returns its answer like Route. It
// goes straight there when the host knows addresses of the peer, and by its key
// otherwise.
func (n *Node) Send(ctx context.Context, app string, to peer.ID, payload []byte) (Receipt, error) {
	if err := to.Validate(); err != nil {
		return Receipt{}, fmt.Errorf("pastry: Send: %w", err)
	}
	var first *Contact
	if to != n.host.ID() && len(n.host.Peerstore().Addrs(to)) > 0 {
		first = NewContact(to)
	}
	return n.send(ctx, &Routed{App: app, Key: ring.FromPeer(to), Direct: true, Payload: payload}, first)
}

func (n *Node) send(ctx context.Context, m *Routed, first *Contact) (Receipt, error) {
	if !validName(m.App) {
		return Receipt{}, fmt.Errorf("%w: %q", ErrAppName, m.App)
	}
	if len(m.Payload) > maxPayload {
		return Receipt{}, fmt.Errorf("pastry: payload of %d bytes, at most %d", len(m.Payload), maxPayload)
	}
	if n.State() == StateIdle {
		if n.isClosed() {
			return Receipt{}, ErrClosed
		}
		return Receipt{}, ErrNotActive
	}
	m.Origin, m.OriginID, m.Payload = n.host.ID(), n.ID(), bytes.Clone(m.Payload)
	if _, err := crand.Read(m.ID[:]); err != nil {
		return Receipt{}, err
	}
	ttl := defaultTimeout
	if deadline, ok := ctx.Deadline(); ok {
		ttl = time.Until(deadline)
	}
	answer := make(chan outcome, 1)
	n.mu.Lock()
	n.calls[m.ID] = answer
	n.mu.Unlock()
	defer n.forgetCall(m.ID)
	if err := n.submit(ctx, Input{Kind: InRoute, Msg: m, TTL: ttl, From: first}); err != nil {
		return Receipt{}, err
	}
	select {
	case o := <-answer:
		if !m.Direct {
			n.meter.ended(o.Answer)
		}
		return n.result(o)
	case <-ctx.Done():
		n.post(Input{Kind: InCancel, ID: m.ID})
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return Receipt{}, errTimeout
		}
		return Receipt{}, fmt.Errorf("pastry: message to %s: %w", m.Key.Short(), ctx.Err())
	case <-n.closed:
		return Receipt{}, ErrClosed
	}
}

func (n *Node) forgetCall(id MessageID) {
	n.mu.Lock()
	delete(n.calls, id)
	n.mu.Unlock()
}

// outcome is how a call ended, and which neighbour said so.
type outcome struct {
	*Answer
	from peer.ID
}

// receipt hands the outcome of a call to its caller.
func (n *Node) receipt(a *Action) {
	o := outcome{Answer: a.Answer, from: n.host.ID()}
	if a.To != nil {
		o.from = a.To.Peer
	}
	n.mu.Lock()
	ch := n.calls[o.ID]
	n.mu.Unlock()
	if ch != nil {
		select {
		case ch <- o:
		default:
		}
	}
}

// result turns an outcome into what the caller gets. An answer that another
// node than the root handed over must bear the root's signature.
func (n *Node) result(a outcome) (Receipt, error) {
	r := Receipt{Root: a.Root, Hops: a.Hops, Path: a.Path}
	if a.Code == CodeOK || a.Code == CodeAppError {
		if a.Root != a.from {
			if err := verifyAnswer(a.Answer); err != nil {
				n.drop(DropForged)
				return r, err
			}
		}
		if a.Code == CodeOK {
			r.Reply = a.Payload
			return r, nil
		}
		return r, &AppError{Root: a.Root, Text: string(a.Payload)}
	}
	if a.Code == CodeNotActive && n.isClosed() {
		return r, ErrClosed
	}
	return r, codeError(a.Code)
}

func codeError(c Code) error {
	switch c {
	case CodeNoApp:
		return ErrNoApp
	case CodeStopped:
		return ErrStopped
	case CodeHopLimit:
		return ErrHopLimit
	case CodeUnreachable:
		return ErrNotMember
	case CodeForged:
		return ErrForged
	case CodeBusy:
		return ErrBusy
	case CodeNotActive:
		return ErrNotActive
	case CodeDuplicate:
		return ErrAnswerLost
	case CodeTimeout:
		return errTimeout
	}
	return fmt.Errorf("%w (%s)", ErrNoAnswer, c)
}
