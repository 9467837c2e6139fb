package testutil

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/ring"
)

const (
	probeApp    = "testutil"
	probeAtOnce = 32 // messages of CheckRoots under way at once
)

// CheckRoots routes a message to each key, from a random live member, and
// returns an error unless each was delivered once, at the true root among the
// members that its origin can reach, and its receipt says so. ctx bounds each
// message as it bounds Node.Route.
func (c *Cluster) CheckRoots(ctx context.Context, keys ...ring.ID) error {
	errs := make([]error, len(keys))
	tokens := make(chan struct{}, probeAtOnce)
	var wg sync.WaitGroup
	for k, key := range keys {
		tokens <- struct{}{}
		from, ok := c.anyMember()
		wg.Go(func() {
			defer func() { <-tokens }()
			if !ok {
				errs[k] = errors.New("testutil: CheckRoots: no live member")
				return
			}
			errs[k] = c.checkRoot(ctx, from, key)
		})
	}
	wg.Wait()
	return complaints(errs)
}

func (c *Cluster) anyMember() (int, bool) {
	var live []int
	for i := range c.Len() {
		if c.Live(i) {
			live = append(live, i)
		}
	}
	if len(live) == 0 {
		return 0, false
	}
	return live[c.randomInt(len(live))], true
}

// checkRoot routes one message from a node and checks what becomes of it.
func (c *Cluster) checkRoot(ctx context.Context, from int, key ring.ID) error {
	payload, done := c.app.expect()
	r, err := c.Node(from).Route(ctx, probeApp, key, payload)
	at := done()
	o := c.Oracle(c.part(from)...)
	what := fmt.Sprintf("key %s from node %d", key.Short(), from)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	root := o.Root(key)
	if root == nil || r.Root != root.Host().ID() {
		return fmt.Errorf("%s: delivered by %s, not the root", what, o.name(r.Root))
	}
	if !slices.Equal(at, []peer.ID{r.Root}) {
		return fmt.Errorf("%s: receipt of %s, but delivered at %v", what, o.name(r.Root), at)
	}
	return checkPath(what, r, c.Node(from).Host().ID())
}

// checkPath checks that a receipt agrees with itself.
func checkPath(what string, r pastry.Receipt, from peer.ID) error {
	switch {
	case r.Root == from && r.Hops == 0:
		return nil
	case r.Hops < 1 || len(r.Path) != r.Hops || r.Path[len(r.Path)-1] != r.Root:
		return fmt.Errorf("%s: %d hops to %s by way of %v", what, r.Hops, r.Root, r.Path)
	}
	return nil
}

// recorder is the application that takes the messages of CheckRoots, at all
// nodes. It notes who delivers what.
type recorder struct {
	mu   sync.Mutex // guards what follows
	next uint64
	seen map[uint64][]peer.ID // of the messages under way
}

func newRecorder() *recorder { return &recorder{seen: make(map[uint64][]peer.ID)} }

// expect returns the payload of a new message, and a function that ends the
// recording and returns who delivered it.
func (r *recorder) expect() (payload []byte, done func() []peer.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next++
	number := r.next
	r.seen[number] = nil
	return binary.BigEndian.AppendUint64(nil, number), func() []peer.ID {
		r.mu.Lock()
		defer r.mu.Unlock()
		defer delete(r.seen, number)
		return r.seen[number]
	}
}

// at returns the application of one node.
func (r *recorder) node(p peer.ID) pastry.Application { return recordAt{r, p} }

type recordAt struct {
	*recorder
	self peer.ID
}

// Deliver notes that the message was delivered at this node.
func (r recordAt) Deliver(_ context.Context, m *pastry.Message) ([]byte, error) {
	if len(m.Payload) != 8 {
		return nil, fmt.Errorf("testutil: payload of %d bytes", len(m.Payload))
	}
	number := binary.BigEndian.Uint64(m.Payload)
	r.mu.Lock()
	defer r.mu.Unlock()
	if at, expected := r.seen[number]; expected {
		r.seen[number] = append(at, r.self)
	}
	return nil, nil
}

// Forward passes every message on.
func (recordAt) Forward(context.Context, *pastry.Message, peer.ID) bool { return true }
