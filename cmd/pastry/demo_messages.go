package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/ring"
)

const demoApp = "demo"

// recorder is the demo's application at one node: it writes down what is
// delivered there, and returns it to the sender.
type recorder struct {
	ledger *ledger
	self   peer.ID
}

func (r *recorder) Deliver(_ context.Context, m *pastry.Message) ([]byte, error) {
	r.ledger.record(string(m.Payload), r.self)
	return m.Payload, nil
}

func (r *recorder) Forward(context.Context, *pastry.Message, peer.ID) bool { return true }

// ledger holds where each message was delivered, by its payload, which is
// different for each.
type ledger struct {
	mu sync.Mutex // guards at
	at map[string][]peer.ID
}

func newLedger() *ledger { return &ledger{at: make(map[string][]peer.ID)} }

func (l *ledger) record(payload string, at peer.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at[payload] = append(l.at[payload], at)
}

func (l *ledger) deliveries(payload string) []peer.ID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.at[payload])
}

// duplicates returns the messages that were delivered more than once.
func (l *ledger) duplicates() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var twice []string
	for payload, at := range l.at {
		if len(at) > 1 {
			twice = append(twice, payload)
		}
	}
	slices.Sort(twice)
	return twice
}

// message is one message of a check, with what became of it.
type message struct {
	payload string
	from    *member
	key     ring.ID
	root    *member // the true one

	receipt pastry.Receipt
	err     error
	took    time.Duration
}

// planMessages draws the messages of a check.
func (d *demo) planMessages(check string) []*message {
	ms := make([]*message, d.messages)
	for i := range ms {
		key := ring.Random(d.rng)
		ms[i] = &message{payload: payload(check, i), from: d.cluster.pick(d.rng, 1, nil)[0], key: key, root: d.cluster.root(key)}
	}
	return ms
}

// again returns new messages to the same keys from the same nodes.
func again(check string, ms []*message) []*message {
	out := make([]*message, len(ms))
	for i, m := range ms {
		out[i] = &message{payload: payload(check, i), from: m.from, key: m.key, root: m.root}
	}
	return out
}

func payload(check string, i int) string { return fmt.Sprintf("%s %d", check, i) }

// send sends m and waits for the receipt.
func (m *message) send(ctx context.Context, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	start := time.Now()
	m.receipt, m.err = m.from.node.Route(ctx, demoApp, m.key, []byte(m.payload))
	m.took = time.Since(start)
}

// judge returns nil if m was delivered once, by the true root, and the sender
// was told so. It is asked when no message is under way.
func (m *message) judge(deliveries []peer.ID) error {
	want := m.root.host.ID()
	switch {
	case m.err != nil:
		return m.fault("%w", m.err)
	case m.receipt.Root != want:
		return m.fault("the receipt is from %s, but the root is %s", m.receipt.Root, want)
	case string(m.receipt.Reply) != m.payload:
		return m.fault("the reply is %q", m.receipt.Reply)
	case len(deliveries) != 1 || deliveries[0] != want:
		return m.fault("delivered at %s, but the root is %s", deliveries, want)
	}
	return nil
}

func (m *message) fault(format string, args ...any) error {
	return fmt.Errorf("message %q from %s to key %s: %w", m.payload, m.from.host.ID(), m.key, fmt.Errorf(format, args...))
}
