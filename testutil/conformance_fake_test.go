package testutil_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/ipfs/go-cid"
	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	"github.com/multiformats/go-multihash"

	"github.com/secondbit/pastry/testutil"
)

// fault is a way in which a fake breaks the contract.
type fault string

var errFakeClosed = errors.New("fake: closed")

// board is what fakes share: the network.
type board struct {
	mu        sync.Mutex
	routers   []*fake
	providers map[string][]*fake
}

// fake is a router that finds all others of its board. It keeps the contract, apart
// from its fault.
type fake struct {
	fault     fault
	host      host.Host
	validator record.Validator
	client    bool
	board     *board // once joined
	stop      chan struct{}
	once      sync.Once
	leak      chan struct{} // what a faulty one waits for

	mu     sync.Mutex // guards what follows
	own    map[string]bool
	values map[string][]byte
}

// fakes returns the fake as a subject, on a network.
func fakes(nw *testutil.Network, f fault, leak chan struct{}) testutil.Subject {
	return testutil.Subject{
		Name: "fake",
		Host: nw.NewHost,
		Router: func(h host.Host, cfg testutil.RouterConfig) (routing.Routing, error) {
			if cfg.Client && f == "no clients" {
				return nil, fmt.Errorf("fake: no clients: %w", errors.ErrUnsupported)
			}
			return &fake{
				fault: f,
				host:  h,
				validator: record.NamespacedValidator{
					cfg.Namespace: cfg.Validator,
					"pk":          record.PublicKeyValidator{},
				},
				client: cfg.Client,
				stop:   make(chan struct{}),
				leak:   leak,
				own:    make(map[string]bool),
				values: make(map[string][]byte),
			}, nil
		},
		Join: func(_ context.Context, m testutil.Member, others []testutil.Member) error {
			r := m.Routing.(*fake)
			b := &board{providers: make(map[string][]*fake)}
			if len(others) > 0 {
				b = others[0].Routing.(*fake).board
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			b.routers = append(b.routers, r)
			r.board = b
			return nil
		},
		Quorum: func(int) routing.Option { return func(*routing.Options) error { return nil } },
	}
}

func (r *fake) err(ctx context.Context) error {
	select {
	case <-r.stop:
		if r.fault == "works after Close" {
			return nil
		}
		return errFakeClosed
	default:
	}
	if r.fault == "ignores the context" {
		return nil
	}
	return ctx.Err()
}

// others returns the open routers but r, and tells of a query to each.
func (r *fake) others(ctx context.Context) []*fake {
	if r.board == nil {
		return nil
	}
	r.board.mu.Lock()
	all := slices.Clone(r.board.routers)
	r.board.mu.Unlock()
	all = slices.DeleteFunc(all, func(o *fake) bool { return o == r || o.client || o.err(context.Background()) != nil })
	for _, o := range all {
		if r.fault != "asks silently" {
			publish(ctx, routing.SendingQuery, o.host.ID())
		}
		publish(ctx, routing.PeerResponse, o.host.ID())
	}
	return all
}

func publish(ctx context.Context, t routing.QueryEventType, id peer.ID) {
	routing.PublishQueryEvent(ctx, &routing.QueryEvent{Type: t, ID: id})
}

func (r *fake) Provide(ctx context.Context, c cid.Cid, announce bool) error {
	if !c.Defined() {
		return errors.New("fake: undefined CID")
	}
	if err := r.err(ctx); err != nil {
		return err
	}
	mh := string(c.Hash())
	r.mu.Lock()
	r.own[mh] = true
	r.mu.Unlock()
	if !announce && r.fault != "announces always" {
		return nil
	}
	r.board.mu.Lock()
	defer r.board.mu.Unlock()
	if !slices.Contains(r.board.providers[mh], r) {
		r.board.providers[mh] = append(r.board.providers[mh], r)
	}
	return nil
}

func (r *fake) FindProvidersAsync(ctx context.Context, c cid.Cid, count int) <-chan peer.AddrInfo {
	out := make(chan peer.AddrInfo)
	if !c.Defined() || r.err(ctx) != nil {
		close(out)
		return out
	}
	go func() {
		defer close(out)
		for _, p := range r.find(ctx, c.Hash(), count) {
			if !r.emit(ctx, out, p) {
				return
			}
		}
	}()
	return out
}

// find returns the providers of a multihash, r first.
func (r *fake) find(ctx context.Context, mh multihash.Multihash, count int) []*fake {
	var found []*fake
	r.mu.Lock()
	if r.own[string(mh)] {
		found = append(found, r)
	}
	r.mu.Unlock()
	if count != 1 || len(found) == 0 {
		r.others(ctx)
		r.board.mu.Lock()
		for _, p := range r.board.providers[string(mh)] {
			if !slices.Contains(found, p) {
				found = append(found, p)
			}
		}
		r.board.mu.Unlock()
	}
	if r.fault == "finds twice" {
		found = append(found, found...)
	}
	if count > 0 && r.fault != "ignores the count" {
		found = found[:min(count, len(found))]
	}
	return found
}

// emit sends a provider. It reports false when nobody wants more.
func (r *fake) emit(ctx context.Context, out chan<- peer.AddrInfo, p *fake) bool {
	info := peer.AddrInfo{ID: p.host.ID(), Addrs: p.host.Addrs()}
	if r.fault == "finds no addresses" {
		info.Addrs = nil
	}
	ended, stop := ctx.Done(), r.stop
	if r.fault == "sends regardless" {
		ended, stop = nil, r.leak
	}
	select {
	case out <- info:
		return true
	case <-ended:
	case <-stop:
	}
	return false
}

func (r *fake) FindPeer(ctx context.Context, id peer.ID) (peer.AddrInfo, error) {
	if id == "" {
		return peer.AddrInfo{}, peer.ErrEmptyPeerID
	}
	if err := r.err(ctx); err != nil {
		return peer.AddrInfo{}, err
	}
	if id == r.host.ID() {
		return peer.AddrInfo{ID: id, Addrs: r.host.Addrs()}, nil
	}
	if info := r.host.Peerstore().PeerInfo(id); len(r.host.Network().ConnsToPeer(id)) > 0 {
		return info, nil
	}
	r.others(ctx)
	r.board.mu.Lock()
	defer r.board.mu.Unlock()
	for _, o := range r.board.routers {
		if o.host.ID() == id && (!o.client || r.fault != "forgets clients") {
			return peer.AddrInfo{ID: id, Addrs: o.host.Addrs()}, nil
		}
	}
	return peer.AddrInfo{}, r.notFound()
}

func (r *fake) notFound() error {
	if r.fault == "wraps ErrNotFound" {
		return fmt.Errorf("fake: %w", routing.ErrNotFound)
	}
	return routing.ErrNotFound
}

func (r *fake) Bootstrap(context.Context) error {
	if r.board == nil && r.fault == "bootstraps members only" {
		return errors.New("fake: not joined")
	}
	return nil
}

func (r *fake) GetPublicKey(ctx context.Context, id peer.ID) (crypto.PubKey, error) {
	if key, err := id.ExtractPublicKey(); err == nil {
		return key, nil
	}
	value, err := r.GetValue(ctx, routing.KeyForPublicKey(id))
	if err != nil {
		return nil, err
	}
	return crypto.UnmarshalPublicKey(value)
}

func (r *fake) ProvideMany(ctx context.Context, keys []multihash.Multihash) error {
	for i, key := range keys {
		if i > 0 && r.fault == "provides one of many" {
			return nil
		}
		if err := r.Provide(ctx, cid.NewCidV1(cid.Raw, key), true); err != nil {
			return err
		}
	}
	return nil
}

func (r *fake) Ready() bool { return r.err(context.Background()) == nil }

func (r *fake) GetClosestPeers(context.Context, string) ([]peer.ID, error) {
	var ps []peer.ID
	for _, o := range r.others(context.Background()) {
		ps = append(ps, o.host.ID())
	}
	if r.fault == "names itself last" {
		slices.Reverse(ps)
	}
	return ps, nil
}

func (r *fake) Close() error {
	err := errFakeClosed
	r.once.Do(func() {
		err = nil
		close(r.stop)
		if r.fault == "leaks" {
			go r.linger()
		}
	})
	if r.fault == "closes once" {
		return err
	}
	return nil
}

func (r *fake) linger() { <-r.leak }
