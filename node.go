package pastry

import (
	"context"
	"errors"
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
	host     host.Host
	opts     *options
	start    time.Time
	signer   *signer
	book     *contactBook
	links    *links
	events   *emitters
	disk     *contactStore
	meter    *meter
	keeper   *keeper
	provider *provider

	ctx    context.Context // ends when the node is closed
	cancel context.CancelFunc
	closed chan struct{} // closed when Close begins
	once   sync.Once
	stop   chan struct{}
	gone   chan struct{} // closed when Close has finished
	err    error         // of Close, set before gone is closed

	inputs    chan Input           // to the core, from everywhere
	asks      chan func(*RawNode)  // to be run by the core's goroutine
	wake      chan struct{}        // some link has packets
	republish chan struct{}        // a client's peer record may be out of date
	local     []Input              // from the core's own goroutine
	raw       *RawNode             // owned by the core's goroutine
	rng       *rand.Rand           // owned by the core's goroutine
	tagged    map[peer.ID]struct{} // owned by the core's goroutine
	leaves    map[peer.ID]struct{} // protected; owned by the core's goroutine

	self  atomic.Pointer[Contact]
	said  atomic.Uint64 // the sequence number of the last peer record
	state atomic.Int32
	sight atomic.Pointer[sight]

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
		inputs: make(chan Input, 1024), asks: make(chan func(*RawNode)), wake: make(chan struct{}, 1), republish: make(chan struct{}, 1),
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
	if err := n.startRecords(); err != nil {
		watch.close()
		n.events.close()
		return err
	}
	if n.meter, err = newMeter(n); err != nil {
		watch.close()
		n.events.close()
		return errors.Join(err, n.keeper.close())
	}
	if err := n.startProvider(); err != nil {
		watch.close()
		n.events.close()
		n.meter.close()
		return errors.Join(err, n.keeper.close())
	}
	n.spawn(n.run)
	go n.events.run(n.stop)
	n.spawn(watch.run)
	n.spawn(n.keepContacts)
	n.spawn(n.keeper.upkeep.run)
	n.spawn(n.publish)
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
	n.sight.Store(newSight(raw))
	n.self.Store(c)
	return nil
}

func (n *Node) sealOwn() ([]byte, error) {
	addrs := n.host.Addrs()
	return sealRecord(n.signer.key, n.host.ID(), addrs, n.nextStatement())
}

// nextStatement returns the sequence number of a new peer record. Its like in
// libp2p is shared by all hosts of a process, whose clocks may differ in tests.
func (n *Node) nextStatement() uint64 {
	for {
		last := n.said.Load()
		seq := max(last+1, uint64(max(0, wallTime().UnixNano())))
		if n.said.CompareAndSwap(last, seq) {
			return seq
		}
	}
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
