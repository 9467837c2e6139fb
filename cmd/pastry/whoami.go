package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/ring"
)

// whoamiApp is the application that every node of this command has.
const whoamiApp = "whoami"

// whoami tells whoever sends it a message which node got it.
type whoami struct {
	node   *pastry.Node
	region string
}

// presence is its answer.
type presence struct {
	Peer    peer.ID `json:"peer"`
	ID      ring.ID `json:"id"`
	Region  string  `json:"region,omitempty"`
	Origin  peer.ID `json:"origin"` // of the message
	Payload string  `json:"payload"`
}

func (w whoami) Deliver(_ context.Context, m *pastry.Message) ([]byte, error) {
	return json.Marshal(presence{Peer: w.node.Host().ID(), ID: w.node.ID(), Region: w.region, Origin: m.Origin, Payload: string(m.Payload)})
}

func (whoami) Forward(context.Context, *pastry.Message, peer.ID) bool { return true }

// askWhoami sends a message and waits for the answer of who delivers it.
func askWhoami(ctx context.Context, n *pastry.Node, req routeRequest) (*routeReply, error) {
	start := time.Now()
	r, err := n.RouteNearest(ctx, whoamiApp, req.Key, req.Nearest, []byte(req.Payload))
	if errors.Is(err, pastry.ErrNoApp) {
		return nil, fmt.Errorf("%s should answer for %s, but does not run \"pastry node\": %w", r.Root, req.Key, err)
	}
	if err != nil {
		return nil, err
	}
	reply := &routeReply{Key: req.Key, Root: r.Root, Hops: r.Hops, Path: r.Path, RTT: ms(time.Since(start))}
	if err := json.Unmarshal(r.Reply, &reply.Reply); err != nil {
		return nil, fmt.Errorf("%s answered nonsense: %w", r.Root, err)
	}
	return reply, nil
}
