package pastry

import (
	"context"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
)

// The events of a query, for callers that asked for them with
// routing.RegisterForQueryEvents. One that does not read holds up the query.

// tellSending says to whom a query goes first.
func (n *Node) tellSending(ctx context.Context, p peer.ID) {
	if routing.SubscribesToQueryEvents(ctx) {
		routing.PublishQueryEvent(ctx, &routing.QueryEvent{Type: routing.SendingQuery, ID: p})
	}
}

// tellAnswer says that an answer came by way of the peer that a query went to
// first, or that none did.
func (n *Node) tellAnswer(ctx context.Context, p peer.ID, err error) {
	if !routing.SubscribesToQueryEvents(ctx) {
		return
	}
	ev := &routing.QueryEvent{Type: routing.PeerResponse, ID: p}
	if err != nil {
		ev.Type, ev.Extra = routing.QueryError, err.Error()
	}
	routing.PublishQueryEvent(ctx, ev)
}

// tellFound tells of a provider, or of the peer looked for.
func (n *Node) tellFound(ctx context.Context, t routing.QueryEventType, info peer.AddrInfo) {
	if routing.SubscribesToQueryEvents(ctx) {
		routing.PublishQueryEvent(ctx, &routing.QueryEvent{Type: t, ID: info.ID, Responses: []*peer.AddrInfo{&info}})
	}
}

// tellValue tells of a value.
func (n *Node) tellValue(ctx context.Context, value []byte) {
	if routing.SubscribesToQueryEvents(ctx) {
		routing.PublishQueryEvent(ctx, &routing.QueryEvent{Type: routing.Value, ID: n.host.ID(), Extra: string(value)})
	}
}
