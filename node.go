package pastry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	logging "github.com/ipfs/go-log/v2"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

var log = logging.Logger("pastry")

// ErrClosed is returned by calls to a Node that was closed.
var ErrClosed = errors.New("pastry: node closed")

// Node is a member, or a client, of a Pastry ring on a libp2p host. It is safe
// for concurrent use.
//
// One goroutine owns the routing state, a RawNode, and never waits for the
// network; each neighbour has a stream with a reader and a writer of its own.
type Node struct {
	host   host.Host
	opts   *options
	start  time.Time
	signer *signer
	book   *contactBook
	links  *links
	events *emitters
	disk   *contactStore
	meter  *meter

	ctx    context.Context // ends when the node is closed
	cancel context.CancelFunc
	closed chan struct{} // closed when Close begins
	once   sync.Once
	stop   chan struct{}
	gone   chan struct{} // closed when Close has finished
	err    error         // of Close, set before gone is closed

	inputs chan Input           // to the core, from everywhere
	asks   chan func(*RawNode)  // to be run by the core's goroutine
	wake   chan struct{}        // some link has packets
	local  []Input              // from the core's own goroutine
	raw    *RawNode             // owned by the core's goroutine
	rng    *rand.Rand           // owned by the core's goroutine
	tagged map[peer.ID]struct{} // owned by the core's goroutine
	leaves map[peer.ID]struct{} // protected; owned by the core's goroutine

	self  atomic.Pointer[Contact]
	state atomic.Int32

	mu      sync.Mutex // guards what follows
	ending  bool
	work    sync.WaitGroup // goroutines of the node; Add only under mu while not ending
	calling sync.WaitGroup // calls into applications; Add only under mu while not ending
	ready   []*link        // with packets for the core, in turn
	calls   map[MessageID]chan outcome
	apps    map[string]*app
	changed chan struct{} // closed and replaced when state changes
	drops   [numDrops]uint64
}

// New makes a node on h. It belongs to no ring until Join or Bootstrap is
// called. On an error nothing is left running; every invalid option is named.
func New(h host.Host, opts ...Option) (*Node, error) {
	if h == nil {
		return nil, errors.New("pastry: New: nil host")
	}
	o, err := newOptions(opts)
	if err != nil {
		return nil, err
	}
	sign, err := newSigner(h.ID(), h.Peerstore().PrivKey(h.ID()))
	if err != nil {
		return nil, err
	}
	n := &Node{
		host: h, opts: o, start: time.Now(), signer: sign, book: newContactBook(4096),
		closed: make(chan struct{}), stop: make(chan struct{}), gone: make(chan struct{}),
		inputs: make(chan Input, 1024), asks: make(chan func(*RawNode)), wake: make(chan struct{}, 1),
		calls: make(map[MessageID]chan outcome), apps: make(map[string]*app), changed: make(chan struct{}),
		tagged: make(map[peer.ID]struct{}), leaves: make(map[peer.ID]struct{}),
	}
	n.links = newLinks(n)
	n.rng = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	n.disk = newContactStore(o.store, o.protocol, n.book)
	if err := n.init(); err != nil {
		return nil, err
	}
	return n, nil
}

// init makes what can fail, and starts the node when all has succeeded.
func (n *Node) init() (err error) {
	n.ctx, n.cancel = context.WithCancel(context.Background())
	epoch, err := n.disk.nextEpoch(n.ctx, uint64(time.Now().UnixNano()))
	if err != nil {
		return err
	}
	if err := n.newCore(n.opts.mode == ModeClient, epoch); err != nil {
		return err
	}
	if n.events, err = newEmitters(n.host); err != nil {
		return err
	}
	watch, err := newWatcher(n)
	if err != nil {
		n.events.close()
		return err
	}
	if n.meter, err = newMeter(n); err != nil {
		watch.close()
		n.events.close()
		return err
	}
	if err := n.startRecords(); err != nil {
		watch.close()
		n.events.close()
		n.meter.close()
		return err
	}
	n.spawn(n.run)
	go n.events.run(n.stop)
	n.spawn(watch.run)
	n.spawn(n.keepContacts)
	n.serve(n.opts.mode != ModeClient)
	return nil
}

// newCore makes the routing state of another incarnation of the node.
func (n *Node) newCore(client bool, epoch uint64) error {
	c := &Contact{ID: ring.FromPeer(n.host.ID()), Peer: n.host.ID(), Epoch: epoch, Region: n.opts.region, Client: client}
	var err error
	if c.Record, err = n.sealOwn(); err != nil {
		return err
	}
	cfg := n.opts.core
	cfg.Self, cfg.Rand = c, rand.New(rand.NewPCG(n.rng.Uint64(), n.rng.Uint64()))
	if cfg.Proximity = n.opts.proximity; cfg.Proximity == nil {
		cfg.Proximity = NewVivaldi(n.opts.region, n.opts.factor, cfg.Rand)
	}
	raw, err := NewRawNode(cfg)
	if err != nil {
		return err
	}
	n.raw = raw
	n.self.Store(c)
	return nil
}

func (n *Node) sealOwn() ([]byte, error) {
	addrs := n.host.Addrs()
	return sealRecord(n.signer.key, n.host.ID(), addrs, peer.TimestampSeq())
}

// serve makes the node answer streams that others open, or no longer.
func (n *Node) serve(on bool) {
	if on {
		n.host.SetStreamHandler(n.opts.protocol, n.links.accept)
	} else {
		n.host.RemoveStreamHandler(n.opts.protocol)
	}
}

// hello is what the node says first on a stream.
func (n *Node) hello(challenge []byte) *pb.Hello {
	return &pb.Hello{Version: protocolVersion, Contact: encodeContact(n.self.Load()), Challenge: challenge,
		DigitBits: uint32(n.digitBits()), LeafSetSize: uint32(n.leafSetSize())}
}

func (n *Node) digitBits() int {
	cfg := n.opts.core
	cfg.setDefaults()
	return cfg.DigitBits
}

func (n *Node) leafSetSize() int {
	cfg := n.opts.core
	cfg.setDefaults()
	return cfg.LeafSetSize
}

// now is the core's time: it runs evenly whatever becomes of the wall clock.
func (n *Node) now() Time { return Time(time.Since(n.start)) }

// begin notes that a goroutine does work for the node; it reports false when
// the node is ending. end notes that the work is done.
func (n *Node) begin() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ending {
		return false
	}
	n.work.Add(1)
	return true
}

func (n *Node) end() { n.work.Done() }

// spawn runs f in a goroutine for which Close waits.
func (n *Node) spawn(f func()) {
	if n.begin() {
		go func() {
			defer n.end()
			f()
		}()
	}
}

// post hands an input to the core, waiting for room; after the end it is lost.
func (n *Node) post(in Input) {
	select {
	case n.inputs <- in:
	case <-n.stop:
	}
}

// schedule puts a link into the list of those that have packets.
func (n *Node) schedule(l *link) {
	if !l.waiting.CompareAndSwap(false, true) {
		return
	}
	n.mu.Lock()
	n.ready = append(n.ready, l)
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// notSent tells the core that a packet did not go out.
func (n *Node) notSent(c *Contact, p *Packet) {
	if p != nil {
		n.post(Input{Kind: InSendFailed, From: c, Packet: p})
	}
}

// refused notes why a neighbour was given up.
func (n *Node) refused(p peer.ID, err error) {
	switch {
	case err == nil || n.ctx.Err() != nil:
		return
	case errors.Is(err, ErrMalformed):
		n.drop(DropMalformed)
	case errors.Is(err, ErrFrameTooLarge):
		n.drop(DropOversized)
	case !errors.Is(err, ErrCredential):
		log.Debugw("link ended", "peer", p, "err", err)
		return
	}
	log.Infow("neighbour refused", "peer", p, "err", err)
	n.events.post(EvtError{Peer: p, Err: err})
}

func (n *Node) drop(d Drop) {
	n.mu.Lock()
	n.drops[d]++
	n.mu.Unlock()
}

// Join makes the node join the ring through any of the peers given, the
// bootstrap peers, or the contacts of an earlier run, and returns when it is
// active: its leaf set is complete and it can be root. Without any of them it
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

// State returns where the node is in its life.
func (n *Node) State() State { return State(n.state.Load()) }

// ID returns the node's point on the ring.
func (n *Node) ID() ring.ID { return n.self.Load().ID }

// Host returns the host the node runs on.
func (n *Node) Host() host.Host { return n.host }

// submit hands an input of a caller to the core.
func (n *Node) submit(ctx context.Context, in Input) error {
	if n.isClosed() {
		return ErrClosed
	}
	select {
	case n.inputs <- in:
		return nil
	case <-n.closed:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// isClosed reports whether Close has begun.
func (n *Node) isClosed() bool {
	select {
	case <-n.closed:
		return true
	default:
		return false
	}
}

// do runs f in the core's goroutine and waits for it. f must not wait.
func (n *Node) do(ctx context.Context, f func(*RawNode)) error {
	done := make(chan struct{})
	select {
	case n.asks <- func(r *RawNode) { f(r); close(done) }:
		<-done
		return nil
	case <-n.stop:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
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

// Close leaves the ring: the neighbours are told, calls under way end with
// ErrClosed, and everything the node started has stopped when Close returns,
// within a few seconds. The exception is an application that goes on after its
// context has ended: Close returns an error then, and leaves it behind. The host
// stays open. Close is idempotent, and waits each time.
func (n *Node) Close() error {
	first := false
	n.once.Do(func() { first = true })
	if first {
		close(n.closed)
		n.post(Input{Kind: InLeave})
		timer := time.NewTimer(closeTimeout)
		defer timer.Stop()
		n.awaitIdle(timer.C)
		n.err = n.shutDown()
		close(n.gone)
	}
	<-n.gone
	return n.err
}

const (
	closeTimeout = 3 * time.Second        // for the neighbours to know
	flushTimeout = 200 * time.Millisecond // for what was said last to be written
)

// awaitIdle waits until the neighbours know that the node leaves.
func (n *Node) awaitIdle(timeout <-chan time.Time) {
	for {
		n.mu.Lock()
		changed := n.changed
		n.mu.Unlock()
		if n.State() == StateIdle {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			return
		}
	}
}

func (n *Node) shutDown() error {
	n.serve(false)
	n.mu.Lock()
	n.ending = true
	n.mu.Unlock()
	n.links.flush(flushTimeout, func(*link) bool { return true })
	close(n.stop)
	n.cancel()
	for _, l := range n.links.all() {
		l.close(nil)
	}
	n.work.Wait()
	stuck := n.awaitApps()
	n.events.wait()
	n.meter.close()
	n.unprotect()
	return errors.Join(stuck, n.disk.err())
}
