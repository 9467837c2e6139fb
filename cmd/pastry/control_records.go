package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"

	"github.com/secondbit/pastry"
)

// putRequest asks for a value to be stored under a key as people write it.
type putRequest struct {
	timeLimit
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

// putReply says that it is.
type putReply struct {
	Key   string     `json:"key"`
	Bytes int        `json:"bytes"`
	Put   *time.Time `json:"put,omitempty"` // when, in a plain namespace
}

// getRequest asks for the best value under a key.
type getRequest struct {
	timeLimit
	Key    string `json:"key"`
	Quorum *int   `json:"quorum,omitempty"` // replicas to be heard, 0 for all
}

// getReply is that value.
type getReply struct {
	putReply
	Value []byte `json:"value"`
}

// findPeerRequest asks for the addresses of a peer.
type findPeerRequest struct {
	timeLimit
	Peer peer.ID `json:"peer"`
}

// findProvsRequest asks for providers of a content.
type findProvsRequest struct {
	timeLimit
	CID   cid.Cid `json:"cid"`
	Count int     `json:"count"` // at most so many, 0 for all
}

// provider is a peer with addresses.
type provider struct {
	Peer  peer.ID        `json:"peer"`
	Addrs []ma.Multiaddr `json:"addrs"`
}

// provideRequest asks for contents to be announced.
type provideRequest struct {
	timeLimit
	CIDs []string `json:"cids"`
	Keep bool     `json:"keep,omitempty"` // and again before they expire
	Stop bool     `json:"stop,omitempty"` // no more, the opposite
}

// provideProgress says how many contents have been dealt with.
type provideProgress struct {
	Done  int `json:"done"`
	Total int `json:"total"` // without those named twice
}

// notFoundError says that there is nothing.
type notFoundError string

func (e notFoundError) Error() string { return string(e) }

// statusOf returns the HTTP status for an error.
func statusOf(err error) int {
	if errors.As(err, new(notFoundError)) {
		return http.StatusNotFound
	}
	return http.StatusBadGateway
}

// putTries is how often a value is put when others put some at the same time.
const putTries = 4

// put stores a value. In a plain namespace it is stamped with a later time than
// the one it replaces, also if the clock of whoever put that was ahead.
func (c *control) put(ctx context.Context, req putRequest) (*putReply, error) {
	k, err := parseValueKey(req.Key)
	if err != nil {
		return nil, err
	}
	reply := &putReply{Key: req.Key, Bytes: len(req.Value)}
	if !slices.Contains(c.plain, k.namespace) {
		return reply, c.explain(ctx, req.limit(), k, c.node.PutValue(ctx, k.routing, req.Value))
	}
	if len(req.Value) > maxPlainValue {
		return nil, fmt.Errorf("the value has %d bytes; at most %d can be put", len(req.Value), maxPlainValue)
	}
	for try := 1; ; try++ {
		at := time.Now()
		if b, err := c.node.GetValue(ctx, k.routing); err == nil {
			if last, _, err := unstamp(b); err == nil {
				at = later(at, last)
			}
		}
		err := c.node.PutValue(ctx, k.routing, stamp(at, req.Value))
		if try == putTries || !errors.Is(err, pastry.ErrRecordStale) {
			reply.Put = &at
			return reply, c.explain(ctx, req.limit(), k, err)
		}
	}
}

func (c *control) get(ctx context.Context, req getRequest) (*getReply, error) {
	k, err := parseValueKey(req.Key)
	if err != nil {
		return nil, err
	}
	var opts []routing.Option
	if req.Quorum != nil {
		opts = append(opts, pastry.Quorum(*req.Quorum))
	}
	b, err := c.node.GetValue(ctx, k.routing, opts...)
	if err != nil {
		return nil, c.explain(ctx, req.limit(), k, err)
	}
	reply := &getReply{putReply: putReply{Key: req.Key}, Value: b}
	if slices.Contains(c.plain, k.namespace) {
		at, value, err := unstamp(b)
		if err != nil {
			return nil, fmt.Errorf("under %s: %w", req.Key, err)
		}
		reply.Put, reply.Value = &at, value
	}
	reply.Bytes = len(reply.Value)
	return reply, nil
}

// explain says what to do about an error of a call about a value.
func (c *control) explain(ctx context.Context, limit time.Duration, k valueKey, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, routing.ErrNotSupported):
		known := strings.Join(append(slices.Clone(signedNamespaces), c.plain...), "/ or /")
		return fmt.Errorf("no validator for the namespace %q: the key must begin with /%s/; or start the node, and the others, with -namespace %s",
			k.namespace, known, k.namespace)
	case errors.Is(err, routing.ErrNotFound):
		return notFoundError("nothing is stored under " + k.text)
	case errors.Is(err, pastry.ErrRecordInvalid) && slices.Contains(c.plain, k.namespace):
		return fmt.Errorf("%w; do all members run with -namespace %s, and with clocks that are right?", err, k.namespace)
	case errors.Is(err, pastry.ErrRecordInvalid):
		return fmt.Errorf("%w: under /%s/ only what its owner has signed can be stored", err, k.namespace)
	case errors.Is(err, pastry.ErrRecordStale):
		return fmt.Errorf("%w: somebody has put a better value; \"pastry get\" shows it", err)
	}
	return impatient(ctx, limit, err)
}

// impatient explains errors that time explains.
func impatient(ctx context.Context, limit time.Duration, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %v, which -timeout sets: %w", limit, err)
	}
	if errors.Is(err, pastry.ErrNotActive) {
		return errNotJoined
	}
	return err
}

var errNotJoined = errors.New("the node has not joined a ring yet; its log says why, and \"pastry info\" its state")

func (c *control) findPeer(ctx context.Context, req findPeerRequest) (*provider, error) {
	info, err := c.node.FindPeer(ctx, req.Peer)
	switch {
	case errors.Is(err, routing.ErrNotFound):
		return nil, notFoundError(fmt.Sprintf("nobody in the ring knows addresses of %s", req.Peer))
	case err != nil:
		return nil, impatient(ctx, req.limit(), err)
	}
	return &provider{Peer: info.ID, Addrs: info.Addrs}, nil
}

// findProvs emits providers as they come. It is an error if there is none.
func (c *control) findProvs(ctx context.Context, req findProvsRequest, emit func(provider) error) error {
	if !c.node.Ready() {
		return errNotJoined
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	found := 0
	for info := range c.node.FindProvidersAsync(ctx, req.CID, req.Count) {
		found++
		if err := emit(provider{Peer: info.ID, Addrs: info.Addrs}); err != nil {
			return err
		}
	}
	switch {
	case ctx.Err() != nil:
		return impatient(ctx, req.limit(), ctx.Err())
	case found == 0:
		return notFoundError(fmt.Sprintf("nobody is known to provide %s", req.CID))
	}
	return nil
}

// multihashes returns those of the CIDs, each once.
func multihashes(cids []string) ([]multihash.Multihash, error) {
	mhs := make([]multihash.Multihash, 0, len(cids))
	seen := make(map[string]bool, len(cids))
	for _, s := range cids {
		c, err := cid.Decode(s)
		if err != nil {
			return nil, fmt.Errorf("%q is no CID: %w", s, err)
		}
		if mh := c.Hash(); !seen[string(mh)] {
			seen[string(mh)] = true
			mhs = append(mhs, mh)
		}
	}
	return mhs, nil
}
