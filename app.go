package pastry

import (
	"context"
	"errors"
	"fmt"
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
	// Deliver is called at the root of the message's key, at the member a message
	// was sent to directly, or at one of the replicas that may deliver it (see
	// RouteNearest), once a message. What it returns goes back
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
	App      string
	Key      ring.ID
	Origin   peer.ID // verified when delivered; as claimed while forwarded
	Payload  []byte  // the last version; the callee may keep and change it
	Hops     int     // links crossed so far
	Direct   bool    // it was sent to this node, by Send; otherwise to whoever is root of Key
	Replicas int     // above 1, any of so many members closest to Key may deliver it, see RouteNearest

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
