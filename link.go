package pastry

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry/pb"
)

const (
	protocolVersion  = 1
	frameLimit       = 1 << 20               // bytes of one frame
	handshakeTimeout = 10 * time.Second      // for the hellos and proofs of a new stream
	writeTimeout     = 10 * time.Second      // for a write that makes no progress
	floodPause       = 10 * time.Millisecond // without reading, for a neighbour that sent too much
	outboxSize       = 512                   // packets waiting for one neighbour
	inboxSize        = 64                    // packets of one neighbour waiting for the core
	outboxBytes      = 8 << 20               // bytes waiting for one neighbour, beside one packet
	inboxLarge       = 4                     // packets over largePacket waiting for the core
	largePacket      = 32 << 10              // bytes that make a packet large
	linkMemory       = 128 << 10             // bytes reserved with the resource manager a stream
)

// outgoing is what the writer of a link sends: a packet, or a new hello when
// the node's own contact has changed.
type outgoing struct {
	packet  *Packet
	hello   *pb.Hello
	flushed chan<- struct{} // closed when everything before it was written; sent alone
}

// link is one stream to a neighbour, open for long and used both ways. A reader
// goroutine fills its inbox, from which the core takes a few packets at a time,
// in turns with the other links; a neighbour that sends faster waits. A writer
// goroutine empties its outbox, to which the core adds without ever waiting.
type link struct {
	n       *Node
	stream  network.Stream
	peer    peer.ID
	contact atomic.Pointer[Contact]
	said    *Contact // the node's own contact before the hello
	out     chan outgoing
	in      chan Input
	queued  atomic.Int64  // bytes in out
	large   chan struct{} // a token for each large packet in in
	waiting atomic.Bool   // in the core's list of links with packets
	used    atomic.Int64
	closed  chan struct{}
	once    sync.Once
	reader  *frameReader
	writer  *frameWriter
	bucket  bucket
}

func newLink(n *Node, s network.Stream) *link {
	l := &link{
		n: n, stream: s, peer: s.Conn().RemotePeer(),
		out: make(chan outgoing, outboxSize), in: make(chan Input, inboxSize), large: make(chan struct{}, inboxLarge), closed: make(chan struct{}),
		reader: newFrameReader(s, frameLimit), writer: newFrameWriter(s, frameLimit),
		bucket: bucket{rate: n.opts.perLink},
	}
	l.touch()
	return l
}

// handshake exchanges hellos and, if the node asks for credentials, proofs: the
// side that opened the stream proves first, so that a stranger who dials gets
// nothing to guess a secret from.
func (l *link) handshake(dialer bool) error {
	// The transport may ignore deadlines; the timer does not.
	guard := time.AfterFunc(handshakeTimeout, func() { l.stream.Reset() })
	defer guard.Stop()
	// Nor does it know that the node is closed.
	stop := context.AfterFunc(l.n.ctx, func() { l.stream.Reset() })
	defer stop()
	mine, err := l.sayHello()
	if err != nil {
		return err
	}
	theirs, err := l.readHello()
	if err != nil {
		return err
	}
	if c := l.n.opts.credentials; c != nil {
		return l.prove(c, dialer, mine, theirs)
	}
	return nil
}

func (l *link) sayHello() (challenge []byte, err error) {
	challenge = make([]byte, challengeSize)
	if _, err := rand.Read(challenge); err != nil {
		return nil, err
	}
	return challenge, l.write(&pb.Frame{Body: &pb.Frame_Hello{Hello: l.n.hello(challenge)}})
}

func (l *link) readHello() (challenge []byte, err error) {
	var f pb.Frame
	if err := l.reader.read(&f); err != nil {
		return nil, fmt.Errorf("read hello: %w", err)
	}
	h := f.GetHello()
	if h == nil {
		return nil, fmt.Errorf("%w: no hello first", ErrMalformed)
	}
	return h.Challenge, l.greeted(h)
}

// greeted takes in a hello: the first, or one that tells of a changed contact.
func (l *link) greeted(h *pb.Hello) error {
	if h.Version != protocolVersion {
		return fmt.Errorf("%w: version %d, want %d", ErrMalformed, h.Version, protocolVersion)
	}
	if h.Contact == nil {
		return fmt.Errorf("%w: hello without a contact", ErrMalformed)
	}
	c, err := l.n.book.contact(h.Contact)
	if err != nil {
		return err
	}
	if c.Peer != l.peer {
		return fmt.Errorf("%w: hello of %s on a connection with %s", ErrMalformed, c.Peer, l.peer)
	}
	l.contact.Store(c)
	return nil
}

// prove exchanges proofs bound to both peer IDs, both challenges and the
// protocol.
func (l *link) prove(c Credentials, dialer bool, mine, theirs []byte) error {
	self := l.n.host.ID()
	out := Binding{Prover: self, Verifier: l.peer, ProverChallenge: mine, VerifierChallenge: theirs, Protocol: string(l.n.opts.protocol)}
	in := Binding{Prover: l.peer, Verifier: self, ProverChallenge: theirs, VerifierChallenge: mine, Protocol: string(l.n.opts.protocol)}
	show := func() error {
		p, err := c.Prove(out)
		if err != nil {
			return err
		}
		return l.write(&pb.Frame{Body: &pb.Frame_Proof{Proof: &pb.Proof{Proof: p}}})
	}
	check := func() error {
		var f pb.Frame
		if err := l.reader.read(&f); err != nil {
			return fmt.Errorf("%w: no proof came: %w", ErrCredential, err)
		}
		if f.GetProof() == nil {
			return fmt.Errorf("%w: no proof came", ErrCredential)
		}
		return c.Verify(in, f.GetProof().Proof)
	}
	if dialer {
		return firstError(show, check)
	}
	return firstError(check, show)
}

func firstError(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (l *link) write(f *pb.Frame) error {
	if err := l.writer.write(f); err != nil {
		return err
	}
	return l.writer.flush()
}

// run reads and writes until the link is closed or fails.
func (l *link) run() {
	if l.n.self.Load() != l.said { // it changed meanwhile, and this link was not told
		l.offer(outgoing{hello: l.n.hello(nil)})
	}
	l.n.spawn(l.writeLoop)
	l.close(l.readLoop())
}

func (l *link) readLoop() error {
	var f pb.Frame
	for {
		f.Reset()
		if err := l.reader.read(&f); err != nil {
			return err
		}
		l.touch()
		if !l.bucket.take(time.Now()) {
			l.n.drop(DropFlood)
			l.pause()
			continue
		}
		if h := f.GetHello(); h != nil {
			if err := l.greeted(h); err != nil {
				return err
			}
			continue
		}
		p, err := decodePacket(f.GetPacket(), l.n.book)
		if err != nil {
			return err
		}
		if p.weight() > largePacket {
			select {
			case l.large <- struct{}{}:
			case <-l.closed:
				return nil
			}
		}
		select {
		case l.in <- Input{Kind: InPacket, From: l.contact.Load(), Packet: p}:
			l.n.schedule(l)
		case <-l.closed:
			return nil
		}
	}
}

// pause stops reading for a moment, so that a flood waits in the neighbour's
// transport instead of costing this node work.
func (l *link) pause() {
	timer := time.NewTimer(floodPause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.closed:
	}
}

func (l *link) writeLoop() {
	guard := time.AfterFunc(writeTimeout, func() { l.close(errSlow) })
	defer guard.Stop()
	for {
		guard.Stop()
		var o outgoing
		select {
		case o = <-l.out:
		case <-l.closed:
			return
		}
		guard.Reset(writeTimeout)
		if err := l.writeBatch(o, guard); err != nil {
			l.close(err)
			return
		}
	}
}

var errSlow = errors.New("pastry: the neighbour does not read")

// writeBatch writes o and whatever else waits, and flushes once. Each packet has
// its own time to be written.
func (l *link) writeBatch(o outgoing, guard *time.Timer) error {
	yielded := false
	for {
		if err := l.writeOne(o); err != nil {
			return err
		}
		l.queued.Add(-o.size())
		if len(l.out) == 0 && !yielded {
			yielded = true // whoever runs now may have more for the same flush
			runtime.Gosched()
		}
		select {
		case o = <-l.out:
			guard.Reset(writeTimeout)
		default:
			l.touch()
			return l.writer.flush()
		}
	}
}

func (l *link) writeOne(o outgoing) error {
	f := new(pb.Frame)
	switch {
	case o.flushed != nil:
		defer close(o.flushed)
		return l.writer.flush()
	case o.packet != nil:
		f.Body = &pb.Frame_Packet{Packet: encodePacket(o.packet)}
	default:
		f.Body = &pb.Frame_Hello{Hello: o.hello}
	}
	err := l.writer.write(f)
	if errors.Is(err, ErrFrameTooLarge) || errors.Is(err, ErrMalformed) {
		// The node's own fault, and nothing was written.
		l.n.drop(DropOversized)
		l.n.events.post(EvtError{Peer: l.peer, Err: err})
		return nil
	}
	return err
}

func (l *link) touch() { l.used.Store(int64(l.n.now())) }

// offer puts a packet into the outbox, and reports false when it is full.
func (l *link) offer(o outgoing) bool {
	size := o.size()
	if before := l.queued.Add(size) - size; before > outboxBytes {
		l.queued.Add(-size)
		return false
	}
	select {
	case l.out <- o:
		return true
	default:
		l.queued.Add(-size)
		return false
	}
}

// size returns about how many bytes an outgoing takes up while it waits: what is
// the sender's own. Contacts and deliveries are shared or small.
func (o outgoing) size() int64 {
	if o.packet == nil {
		return 0
	}
	return int64(o.packet.weight())
}

// close ends the link, once. Packets that were not written are reported as not
// sent.
func (l *link) close(err error) {
	l.once.Do(func() {
		close(l.closed)
		l.stream.Reset()
		l.n.links.remove(l)
		l.n.refused(l.peer, err)
		for {
			select {
			case o := <-l.out:
				l.n.notSent(l.contact.Load(), o.packet)
			default:
				return
			}
		}
	})
}

// bucket is a token bucket: rate packets a second, and a second's worth at once.
// It belongs to the reader of one link.
type bucket struct {
	rate   int
	tokens float64
	last   time.Time
}

func (b *bucket) take(now time.Time) bool {
	if b.last.IsZero() {
		b.tokens = float64(b.rate)
	} else {
		b.tokens = min(b.tokens+now.Sub(b.last).Seconds()*float64(b.rate), float64(b.rate))
	}
	b.last = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
