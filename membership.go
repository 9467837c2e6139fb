package pastry

import (
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Join makes the node join the ring through any of the peers given, the
// bootstrap peers, or the contacts of an earlier run, and returns when it is
// active: its leaf set is complete and it can be root. A client then knows
// members, and FindPeer of others finds it. Without any of them it
// becomes the first node of a ring. The addresses given are dialled.
//
// On a node that is active already, Join looks for another part of the ring
// through the peers and returns at once. When ctx ends first, the error says
// what went wrong last, and the node goes on trying.
func (n *Node) Join(ctx context.Context, peers ...peer.AddrInfo) error {
	contacts, err := n.seeds(ctx, peers)
	if err != nil {
		return err
	}
	if err := n.submit(ctx, Input{Kind: InJoin, Contacts: contacts}); err != nil {
		return err
	}
	if err := n.await(ctx, n.Ready); err != nil {
		return n.joinError(err, contacts)
	}
	if n.State() == StateClient {
		if err := n.publishOnce(ctx); err != nil {
			log.Infow("peer record not published yet; it will be tried again", "err", err)
		}
	}
	return nil
}

// seeds returns the contacts to join through.
func (n *Node) seeds(ctx context.Context, peers []peer.AddrInfo) ([]*Contact, error) {
	var cs []*Contact
	for _, p := range append(peers[:len(peers):len(peers)], n.opts.bootstrap...) {
		if err := p.ID.Validate(); err != nil {
			return nil, fmt.Errorf("pastry: Join: peer %q: %w", string(p.ID), err)
		}
		if p.ID == n.host.ID() {
			continue
		}
		n.host.Peerstore().AddAddrs(p.ID, p.Addrs, seedTTL)
		cs = append(cs, NewContact(p.ID))
	}
	saved, err := n.disk.load(ctx)
	if err != nil {
		log.Warnw("contacts of an earlier run cannot be read; joining without them", "err", err)
	}
	return append(cs, saved...), nil
}

// seedTTL is how long addresses given by the user stay in the peerstore.
const seedTTL = time.Hour

func (n *Node) joinError(err error, seeds []*Contact) error {
	for _, c := range seeds {
		if why := n.links.dialError(c.Peer); why != nil {
			return fmt.Errorf("pastry: not joined yet: %w (last: %w)", err, why)
		}
	}
	return fmt.Errorf("pastry: not joined yet: %w (%d members known; is one of them running and reachable?)", err, len(seeds))
}

// Bootstrap begins to join through the bootstrap peers and the contacts of an
// earlier run, and does not wait. It returns an error only when the node is
// closed or ctx has ended.
func (n *Node) Bootstrap(ctx context.Context) error {
	if n.Ready() {
		return nil
	}
	contacts, err := n.seeds(ctx, nil)
	if err != nil {
		return err
	}
	return n.submit(ctx, Input{Kind: InJoin, Contacts: contacts})
}

// Ready reports whether the node is active, or a client that knows members.
func (n *Node) Ready() bool {
	s := n.State()
	return s == StateActive || s == StateClient
}

// await waits until ok reports true, which it asks whenever the state changes.
func (n *Node) await(ctx context.Context, ok func() bool) error {
	for {
		n.mu.Lock()
		changed := n.changed
		n.mu.Unlock()
		if ok() {
			return nil
		}
		select {
		case <-changed:
		case <-n.closed:
			return ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
