package pastry

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// slow is a writer that takes a while for whatever it is given.
type slow time.Duration

func (s slow) Write(b []byte) (int, error) {
	time.Sleep(time.Duration(s))
	return len(b), nil
}

// TestSlowLink has an outbox that is never empty on a link that is slow but goes
// on: it is not the link of a neighbour that does not read.
func TestSlowLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &link{n: &Node{start: time.Now()}, out: make(chan outgoing, outboxSize), writer: newFrameWriter(slow(time.Second), 0)}
		p := &Packet{Kind: KindRoute, Msg: &Routed{Payload: make([]byte, 8<<10)}}
		for range 50 {
			l.out <- outgoing{packet: p}
		}
		guard := time.AfterFunc(writeTimeout, func() { t.Error("the link was given up") })
		defer guard.Stop()
		if err := l.writeBatch(outgoing{packet: p}, guard); err != nil {
			t.Error(err)
		}
	})
}

// TestUnreachableIsForgotten checks that neighbours that were never reached are
// not remembered for ever.
func TestUnreachableIsForgotten(t *testing.T) {
	ls := newLinks(&Node{})
	ls.neighbor(peer.ID("gone")).dialErr = errors.New("no route")
	ls.neighbor(peer.ID("dialling")).dialing = true
	ls.forget(Time(idleTimeout))
	if ls.dialError(peer.ID("gone")) == nil {
		t.Error("the reason of a failed dial was forgotten at once")
	}
	ls.forget(Time(idleTimeout) + 1)
	if got := len(ls.m); got != 1 || ls.m[peer.ID("dialling")] == nil {
		t.Errorf("%d neighbours are remembered, want the one being dialled", got)
	}
}
