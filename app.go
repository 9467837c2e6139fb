package pastry

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry/ring"
)

// Application is what an application does with messages. Its methods are called
// from goroutines of their own, several at a time; one that blocks or panics
// harms neither the overlay nor another application.
type Application interface {
	// Deliver is called at the root of the message's key, or at the member a
	// message was sent to directly, once a message. What it returns goes back
	// to the sender: the reply, of at most 512 KiB and not to be changed
	// afterwards, in its Receipt, or an error as an AppError. ctx ends when the
	// sender's deadline has passed or the node is closed.
	Deliver(ctx context.Context, m *Message) (reply []byte, err error)
	// Forward is called at each node between origin and root, before the
	// message goes on to next; not for messages sent directly. It may change
	// m.Payload; the change is signed by this node and shown to the deliverer
	// beside the original. When it returns false, the message goes no further
	// and its sender gets ErrStopped. A message passes unseen while the
	// application handles 1,024 others, and unchanged if Forward panics.
	Forward(ctx context.Context, m *Message, next peer.ID) bool
}

// Message is a routed message as an application sees it.
type Message struct {
	App     string
	Key     ring.ID
	Origin  peer.ID // verified when delivered; as claimed while forwarded
	Payload []byte  // the last version; the callee may keep and change it
	Hops    int     // links crossed so far

	// Original and Changes tell, when delivered, what nodes on the way did to
	// the payload: Original is what the origin signed, and each of Changes, the
	// first made first, was signed by the node that made it; the last has the
	// Payload. Both are nil when nobody changed it.
	Original []byte
	Changes  []Change
}

// Receipt tells what became of a message.
type Receipt struct {
	Root  peer.ID   // who delivered it
	Hops  int       // links it crossed; 0 when the sender itself is root
	Reply []byte    // what the application returned
	Path  []peer.ID // the nodes it passed, sender excluded, root included; as the hops say, not signed
}

// The ways in which a message can fail, beside the end of the caller's context.
var (
	ErrNoApp      = errors.New("pastry: the application is not registered at the node that should deliver")
	ErrStopped    = errors.New("pastry: stopped by a node on the way")
	ErrHopLimit   = errors.New("pastry: hop limit reached")
	ErrNotMember  = errors.New("pastry: the addressed peer is not a member")
	ErrBusy       = errors.New("pastry: the application at the root has too many messages to handle")
	ErrNoAnswer   = errors.New("pastry: no answer in time") // wrapped with context.DeadlineExceeded when time was up
	ErrAnswerLost = errors.New("pastry: delivered, but the answer is lost")
	ErrNotActive  = errors.New("pastry: the node is not part of a ring; call Join first")
	ErrAppName    = errors.New("pastry: invalid application name")
)

// errTimeout is what a caller gets whose time is up, whoever notices it first:
// the caller's context or the core.
var errTimeout = fmt.Errorf("%w: %w", ErrNoAnswer, context.DeadlineExceeded)

// AppError is the error an application returned at the root.
type AppError struct {
	Root peer.ID
	Text string // what its Error method said, cut to 1,024 bytes
}

// Error returns the text and where it comes from.
func (e *AppError) Error() string {
	return fmt.Sprintf("pastry: application at %s: %s", e.Root, e.Text)
}

const (
	maxRunning     = 1024                       // messages of one application handled at once
	defaultTimeout = time.Minute                // of a call whose context has no deadline
	reserved       = "pastry/"                  // prefix of the node's own applications
	maxPayload     = frameLimit / 2             // bytes
	maxChanged     = frameLimit - frameLimit/16 // bytes of a payload and its signed earlier versions
)

// app is a registered application and what it is doing.
type app struct {
	Application
	running chan struct{} // a token for each call under way
}

// Register makes a the application called name on this node: it is given the
// messages for name of which this node is root, and asked about those that pass.
// Names are 1 to 128 bytes of UTF-8 and do not start with "pastry/". The error
// wraps ErrAppName for a name that is not, or that is registered already. A node
// may register applications before it joins, and should: nothing is missed then.
func (n *Node) Register(name string, a Application) error {
	if !validName(name) || strings.HasPrefix(name, reserved) {
		return fmt.Errorf("%w: %q must be 1 to %d bytes of UTF-8 and not start with %q", ErrAppName, name, maxAppName, reserved)
	}
	if a == nil {
		return fmt.Errorf("pastry: Register %q: nil application", name)
	}
	return n.register(name, a)
}

func validName(name string) bool {
	return name != "" && len(name) <= maxAppName && utf8.ValidString(name)
}

func (n *Node) register(name string, a Application) error {
	n.mu.Lock()
	if n.apps[name] != nil {
		n.mu.Unlock()
		return fmt.Errorf("%w: %q is registered already", ErrAppName, name)
	}
	n.apps[name] = &app{Application: a, running: make(chan struct{}, maxRunning)}
	n.mu.Unlock()
	return n.submit(n.ctx, Input{Kind: InRegister, App: name})
}

// Unregister takes an application off this node; senders get ErrNoApp from then
// on. Calls under way go on. A name that is not registered is no error.
func (n *Node) Unregister(name string) error {
	if strings.HasPrefix(name, reserved) {
		return fmt.Errorf("%w: %q is the node's own", ErrAppName, name)
	}
	if strings.HasPrefix(name, reserved) {
		return fmt.Errorf("%w: %q is the node's own", ErrAppName, name)
	}
	n.mu.Lock()
	delete(n.apps, name)
	n.mu.Unlock()
	return n.submit(n.ctx, Input{Kind: InUnregister, App: name})
}

// restoreApps tells a new core which applications there are.
func (n *Node) restoreApps() {
	n.mu.Lock()
	names := make([]string, 0, len(n.apps))
	for name := range n.apps {
		names = append(names, name)
	}
	n.mu.Unlock()
	slices.Sort(names)
	for _, name := range names {
		n.local = append(n.local, Input{Kind: InRegister, App: name})
	}
}

func (n *Node) app(name string) *app {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.apps[name]
}

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
	n.meter.ended(a.Answer)
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

// deliver gives a message to its application, in a goroutine of its own.
func (n *Node) deliver(a *Action) {
	m, hops, ttl := a.Msg, a.Hops, a.TTL
	straight := straight(n.host.ID(), a)
	reply := func(code Code, payload []byte) {
		n.local = append(n.local, Input{Kind: InDelivered, ID: m.ID, Code: code, Payload: payload})
	}
	ap := n.app(m.App)
	if ap == nil {
		reply(CodeNoApp, nil)
		return
	}
	select {
	case ap.running <- struct{}{}:
	default:
		reply(CodeBusy, nil)
		return
	}
	n.call(ap, func() {
		code, payload := n.runDeliver(ap, m, hops, ttl, straight)
		in := Input{Kind: InDelivered, ID: m.ID, Code: code, Payload: payload}
		if !straight {
			in.Auth = n.vouch(&Answer{ID: m.ID, Origin: m.Origin, Root: n.host.ID(), Code: code, Payload: payload})
		}
		n.post(in)
	})
}

// straight reports whether a message comes from its origin itself, so that the
// secure channel vouches for both. A message whose way here is forgotten does not.
func straight(self peer.ID, a *Action) bool {
	from := self
	if a.To != nil {
		from = a.To.Peer
	}
	return from == a.Msg.Origin
}

// call runs f, a call into an application for which it has a token, in a
// goroutine. Close waits for it, but not for ever.
func (n *Node) call(ap *app, f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ending {
		<-ap.running
		return
	}
	n.calling.Add(1)
	go func() {
		defer n.calling.Done()
		defer func() { <-ap.running }()
		f()
	}()
}

// awaitApps waits for the calls into applications, whose contexts have ended.
func (n *Node) awaitApps() error {
	done := make(chan struct{})
	go func() {
		n.calling.Wait()
		close(done)
	}()
	timer := time.NewTimer(closeTimeout)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
		return errStuck
	}
}

var errStuck = errors.New("pastry: Close: an application has not returned from a message, though its context has ended")

// sign signs a message of this node's own; it returns nil when it cannot.
func (n *Node) sign(m *Routed) *Routed {
	signed, err := n.signer.sign(m)
	if err != nil {
		n.events.post(EvtError{Err: err})
		return nil
	}
	return signed
}

// vouch signs an answer.
func (n *Node) vouch(a *Answer) []byte {
	auth, err := n.signer.signAnswer(a)
	if err != nil {
		n.events.post(EvtError{Err: err})
	}
	return auth
}

// runDeliver verifies a message, unless it came straight from its origin, and
// calls the application.
func (n *Node) runDeliver(ap *app, m *Routed, hops int, ttl time.Duration, straight bool) (Code, []byte) {
	var original []byte
	var changes []Change
	var err error
	if !straight {
		if original, changes, err = verifyMessage(m); err != nil {
			n.events.post(EvtError{Peer: m.Origin, Err: err})
			return CodeForged, nil
		}
	}
	ctx, cancel := context.WithTimeout(n.ctx, ttl)
	defer cancel()
	msg := &Message{App: m.App, Key: m.Key, Origin: m.Origin, Payload: bytes.Clone(m.Payload), Hops: hops,
		Original: original, Changes: changes}
	var reply []byte
	err = n.guard(m.App, func() (err error) {
		reply, err = ap.Deliver(ctx, msg)
		return err
	})
	switch {
	case err != nil:
		return CodeAppError, []byte(truncate(err.Error(), 1024))
	case len(reply) > maxPayload:
		return CodeAppError, fmt.Appendf(nil, "reply of %d bytes, at most %d", len(reply), maxPayload)
	}
	return CodeOK, reply
}

func truncate(s string, limit int) string { return s[:min(len(s), limit)] }

// guard calls into an application and turns its panic into an error.
func (n *Node) guard(name string, call func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("application %q panicked: %v", name, p)
			log.Errorw("application panicked", "app", name, "panic", p, "stack", string(debug.Stack()))
			n.events.post(EvtError{Err: err})
		}
	}()
	return call()
}

// forward asks the application about a message that passes. While it has too
// many to think about, messages pass unseen; one about which it panics is
// passed on unchanged.
func (n *Node) forward(a *Action) {
	m, hops, next, ttl := a.Msg, a.Hops, a.To.Peer, a.TTL
	ap := n.app(m.App)
	pass := Input{Kind: InForwarded, ID: m.ID, Msg: m}
	if ap == nil {
		n.local = append(n.local, pass)
		return
	}
	select {
	case ap.running <- struct{}{}:
	default:
		n.local = append(n.local, pass)
		return
	}
	n.call(ap, func() {
		n.post(Input{Kind: InForwarded, ID: m.ID, Msg: n.runForward(ap, m, hops, next, ttl)})
	})
}

// runForward returns the message to pass on, or nil to stop it.
func (n *Node) runForward(ap *app, m *Routed, hops int, next peer.ID, ttl time.Duration) *Routed {
	ctx, cancel := context.WithTimeout(n.ctx, ttl)
	defer cancel()
	msg := &Message{App: m.App, Key: m.Key, Origin: m.Origin, Payload: bytes.Clone(m.Payload), Hops: hops}
	pass := false
	if err := n.guard(m.App, func() error { pass = ap.Forward(ctx, msg, next); return nil }); err != nil {
		return m
	}
	if !pass {
		return nil
	}
	if bytes.Equal(msg.Payload, m.Payload) {
		return m
	}
	changed, err := n.signer.change(m, msg.Payload)
	if err == nil && len(changed.Payload)+len(changed.Auth) > maxChanged {
		err = fmt.Errorf("all versions of the payload together have more than %d bytes", maxChanged)
	}
	if err != nil {
		n.events.post(EvtError{Err: fmt.Errorf("pastry: application %q changed a payload in vain: %w", m.App, err)})
		return m
	}
	return changed
}
