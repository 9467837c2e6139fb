package pastry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

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
	msg := &Message{App: m.App, Key: m.Key, Origin: m.Origin, Payload: bytes.Clone(m.Payload), Hops: hops, Direct: m.Direct, Replicas: m.Replicas,
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
	msg := &Message{App: m.App, Key: m.Key, Origin: m.Origin, Payload: bytes.Clone(m.Payload), Hops: hops, Replicas: m.Replicas}
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
