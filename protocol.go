package pastry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	dialTimeout = 5 * time.Second
	idleTimeout = 5 * time.Minute // after which a link nobody needs is closed
	lastWord    = 2 * time.Second // that a peer found dead has to object on its links
	serviceName = "pastry"        // with the resource manager
	maxLinks    = 4               // to one neighbour: both may dial at once, and again before they know that a link broke
)

// links keeps the streams to neighbours: it opens one when there is something
// to send, answers on the one the neighbour opened, and replaces one that broke.
type links struct {
	n *Node

	mu sync.Mutex // guards m and what it holds
	m  map[peer.ID]*neighbor
}

type neighbor struct {
	open    []*link // the oldest is written to
	dialing bool
	waiting []outgoing // until the dial is done
	bytes   int64      // in waiting
	dialErr error      // of the last dial
	failed  Time       // when that was
}

// add takes in a new link. It returns those to be closed: to earlier incarnations
// of the peer, whose connections may be dead and not know it yet, and the oldest
// of a peer that opens one after the other.
func (nb *neighbor) add(l *link) (over []*link) {
	epoch := l.contact.Load().Epoch
	for _, o := range nb.open {
		if o.contact.Load().Epoch < epoch {
			over = append(over, o)
		}
	}
	nb.open = slices.DeleteFunc(nb.open, func(o *link) bool { return slices.Contains(over, o) })
	if len(nb.open) == maxLinks {
		over = append(over, nb.open[0])
		nb.open = slices.Delete(nb.open, 0, 1)
	}
	nb.open = append(nb.open, l)
	return over
}

func closeAll(ls []*link) {
	for _, l := range ls {
		l.close(nil)
	}
}

func newLinks(n *Node) *links {
	return &links{n: n, m: make(map[peer.ID]*neighbor)}
}

func (ls *links) neighbor(p peer.ID) *neighbor {
	nb := ls.m[p]
	if nb == nil {
		nb = new(neighbor)
		ls.m[p] = nb
	}
	return nb
}

// send hands a packet to a neighbour's outbox, dialling if there is no stream.
// It never waits; it reports false when the outbox is full.
func (ls *links) send(c *Contact, p *Packet) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	nb := ls.neighbor(c.Peer)
	if len(nb.open) > 0 {
		return nb.open[0].offer(outgoing{packet: p})
	}
	o := outgoing{packet: p}
	if len(nb.waiting) >= outboxSize || nb.bytes > outboxBytes {
		return false
	}
	nb.waiting, nb.bytes = append(nb.waiting, o), nb.bytes+o.size()
	if !nb.dialing {
		nb.dialing = true
		ls.n.spawn(func() { ls.dial(c) })
	}
	return true
}

// dial opens a stream to a neighbour and hands it what waits.
func (ls *links) dial(c *Contact) {
	l, err := ls.open(c)
	ls.mu.Lock()
	nb := ls.neighbor(c.Peer)
	waiting := nb.waiting
	nb.dialing, nb.waiting, nb.bytes, nb.dialErr, nb.failed = false, nil, 0, err, ls.n.now()
	if err != nil && len(nb.open) == 0 {
		ls.mu.Unlock()
		ls.n.refused(c.Peer, err)
		for _, o := range waiting {
			ls.n.notSent(c, o.packet)
		}
		return
	}
	var over []*link
	if err == nil {
		over = nb.add(l)
	}
	var left []outgoing
	for _, o := range waiting { // before others can, and before the link can close
		if !nb.open[0].offer(o) {
			left = append(left, o)
		}
	}
	ls.mu.Unlock()
	closeAll(over)
	for _, o := range left {
		ls.n.notSent(c, o.packet)
	}
	if err == nil {
		ls.started(l)
	}
}

// open dials the neighbour, only at addresses it signed or that the host knows
// from the connection itself or its user, and shakes hands.
func (ls *links) open(c *Contact) (*link, error) {
	ctx, cancel := context.WithTimeout(network.WithAllowLimitedConn(ls.n.ctx, serviceName), dialTimeout)
	defer cancel()
	addrs, err := ls.n.book.addrs(c)
	if err != nil {
		return nil, err
	}
	if err := ls.n.host.Connect(ctx, peer.AddrInfo{ID: c.Peer, Addrs: addrs}); err != nil {
		return nil, fmt.Errorf("pastry: connect to %s: %w", c.Peer, err)
	}
	s, err := ls.n.host.NewStream(ctx, c.Peer, ls.n.opts.protocol)
	if err != nil {
		return nil, fmt.Errorf("pastry: open a stream to %s: %w", c.Peer, err)
	}
	return ls.greet(s, true)
}

// greet accounts for a new stream and shakes hands on it.
func (ls *links) greet(s network.Stream, dialer bool) (*link, error) {
	err := s.Scope().SetService(serviceName)
	if err == nil {
		err = s.Scope().ReserveMemory(linkMemory, network.ReservationPriorityAlways)
	}
	if err != nil {
		s.ResetWithError(network.StreamResourceLimitExceeded)
		return nil, fmt.Errorf("pastry: resource manager: %w", err)
	}
	l := newLink(ls.n, s)
	l.said = ls.n.self.Load()
	if err := l.handshake(dialer); err != nil {
		if errors.Is(err, ErrCredential) {
			ls.n.drop(DropCredential)
		}
		s.ResetWithError(network.StreamProtocolNegotiationFailed)
		s.Scope().ReleaseMemory(linkMemory)
		return nil, fmt.Errorf("pastry: greet %s: %w", l.peer, err)
	}
	return l, nil
}

// accept is the stream handler.
func (ls *links) accept(s network.Stream) {
	if !ls.n.begin() {
		s.Reset()
		return
	}
	defer ls.n.end()
	l, err := ls.greet(s, false)
	if err != nil {
		ls.n.refused(s.Conn().RemotePeer(), err)
		return
	}
	ls.mu.Lock()
	over := ls.neighbor(l.peer).add(l)
	ls.mu.Unlock()
	closeAll(over)
	ls.started(l)
}

// started tells the core of a link and serves it until it ends.
func (ls *links) started(l *link) {
	select {
	case <-ls.n.stop: // Close has closed those there were
		l.close(nil)
		return
	default:
	}
	ls.n.post(Input{Kind: InConnected, From: l.contact.Load()})
	l.run()
}

// remove forgets a link that was closed.
func (ls *links) remove(l *link) {
	ls.mu.Lock()
	nb := ls.neighbor(l.peer)
	nb.open = slices.DeleteFunc(nb.open, func(o *link) bool { return o == l })
	last := len(nb.open) == 0
	if last && !nb.dialing {
		delete(ls.m, l.peer)
	}
	ls.mu.Unlock()
	l.stream.Scope().ReleaseMemory(linkMemory)
	if last {
		ls.n.post(Input{Kind: InDisconnected, From: l.contact.Load()})
	}
}

// abandon closes every link to a peer that does not answer, unless it does so
// within lastWord after all: a slow one's answers may be on their way.
func (ls *links) abandon(p peer.ID) {
	ls.flush(flushTimeout, func(l *link) bool { return l.peer == p })
	quiet := make(map[*link]int64) // when each was used last
	for _, l := range ls.to(p) {
		quiet[l] = l.used.Load()
	}
	timer := time.NewTimer(lastWord)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ls.n.stop:
	}
	for l, used := range quiet {
		if l.used.Load() == used {
			l.close(nil)
		}
	}
}

// to returns the open links to a peer.
func (ls *links) to(p peer.ID) []*link {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if nb := ls.m[p]; nb != nil {
		return slices.Clone(nb.open)
	}
	return nil
}

// all returns the open links.
func (ls *links) all() []*link {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	var open []*link
	for _, nb := range ls.m {
		open = append(open, nb.open...)
	}
	return open
}

// flush waits until what is in the outboxes of the chosen links has been
// written, or the time is over.
func (ls *links) flush(limit time.Duration, which func(*link) bool) {
	over := time.NewTimer(limit)
	defer over.Stop()
	for _, l := range ls.all() {
		flushed := make(chan struct{})
		if !which(l) || !l.offer(outgoing{flushed: flushed}) {
			continue
		}
		select {
		case <-flushed:
		case <-l.closed:
		case <-over.C:
			return
		}
	}
}

// announce sends the node's changed contact over every link.
func (ls *links) announce() {
	for _, l := range ls.all() {
		l.offer(outgoing{hello: ls.n.hello(nil)})
	}
}

// closeIdle closes links that nothing passed for long, except those to peers
// that keep reports are needed.
func (ls *links) closeIdle(now Time, keep func(peer.ID) bool) {
	for _, l := range ls.all() {
		if now-Time(l.used.Load()) > Time(idleTimeout) && !keep(l.peer) {
			ls.n.spawn(func() { l.close(nil) })
		}
	}
}

// forget drops what is known of neighbours without a link whose last dial failed
// long ago.
func (ls *links) forget(now Time) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for p, nb := range ls.m {
		if len(nb.open) == 0 && !nb.dialing && now-nb.failed > Time(idleTimeout) {
			delete(ls.m, p)
		}
	}
}

// linked reports whether there is an open link to a peer.
func (ls *links) linked(p peer.ID) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return ls.m[p] != nil && len(ls.m[p].open) > 0
}

// dialError returns why the last dial of a peer failed.
func (ls *links) dialError(p peer.ID) error {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if nb := ls.m[p]; nb != nil {
		return nb.dialErr
	}
	return nil
}
