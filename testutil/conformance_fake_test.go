package testutil_test

import (
	"bytes"
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
		mh := string(c.Hash())
		r.mu.Lock()
		own := r.own[mh]
		r.mu.Unlock()
		var found []*fake
		if own {
			found = append(found, r)
		}
		if count != 1 || !own {
			r.others(ctx)
		}
		r.board.mu.Lock()
		for _, p := range r.board.providers[mh] {
			if p != r || !own {
				found = append(found, p)
			}
		}
		r.board.mu.Unlock()
		if r.fault == "finds twice" {
			found = append(found, found...)
		}
		if count > 0 && r.fault != "ignores the count" {
			found = found[:min(count, len(found))]
		}
		for _, p := range found {
			info := peer.AddrInfo{ID: p.host.ID(), Addrs: p.host.Addrs()}
			if r.fault == "finds no addresses" {
				info.Addrs = nil
			}
			if r.fault == "sends regardless" {
				select {
				case out <- info:
				case <-r.leak:
				}
				continue
			}
			select {
			case out <- info:
			case <-ctx.Done():
				return
			case <-r.stop:
				return
			}
		}
	}()
	return out
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

// supports returns an error unless the key has a validator.
func (r *fake) supports(key string) error {
	ns, _, err := record.SplitKey(key)
	if err != nil {
		return err
	}
	if _, ok := r.validator.(record.NamespacedValidator)[ns]; !ok && r.fault != "takes any namespace" {
		return routing.ErrNotSupported
	}
	return nil
}

func (r *fake) PutValue(ctx context.Context, key string, value []byte, opts ...routing.Option) error {
	if err := r.supports(key); err != nil {
		return err
	}
	if err := r.err(ctx); err != nil {
		return err
	}
	if err := r.hold(key, value); err != nil {
		return err
	}
	var o routing.Options
	if err := o.Apply(opts...); err != nil || o.Offline {
		return err
	}
	for _, other := range r.others(ctx) {
		_ = other.hold(key, value)
	}
	return nil
}

// hold keeps a value that is valid and no worse.
func (r *fake) hold(key string, value []byte) error {
	if err := r.validator.Validate(key, value); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.values[key]; old != nil && r.fault != "takes worse values" {
		if i, err := r.validator.Select(key, [][]byte{value, old}); err != nil || i != 0 {
			return errors.Join(err, errors.New("fake: a better one is held"))
		}
	}
	if r.fault != "keeps the caller's slice" {
		value = bytes.Clone(value)
	}
	r.values[key] = value
	return nil
}

// held returns the value held, if it is valid or may have expired.
func (r *fake) held(key string, expired bool) []byte {
	r.mu.Lock()
	value := r.values[key]
	r.mu.Unlock()
	if value == nil || (!expired && r.fault != "gives expired values" && r.validator.Validate(key, value) != nil) {
		return nil
	}
	if r.fault == "keeps the caller's slice" {
		return value
	}
	return bytes.Clone(value)
}

// best returns the values of all, from worst to best.
func (r *fake) best(ctx context.Context, key string, opts []routing.Option) ([][]byte, error) {
	if err := r.supports(key); err != nil {
		return nil, err
	}
	if err := r.err(ctx); err != nil {
		return nil, err
	}
	var o routing.Options
	if err := o.Apply(opts...); err != nil {
		return nil, err
	}
	holders := []*fake{r}
	if !o.Offline || r.fault == "ignores Offline" {
		holders = append(holders, r.others(ctx)...)
	}
	var best [][]byte
	for _, h := range holders {
		value := h.held(key, o.Expired)
		if value == nil || (len(best) > 0 && bytes.Equal(value, best[len(best)-1])) {
			continue
		}
		if len(best) > 0 && r.fault != "gives worse values" {
			if i, err := r.validator.Select(key, [][]byte{best[len(best)-1], value}); err != nil || i == 0 {
				continue
			}
		}
		best = append(best, value)
	}
	if len(best) > 0 && r.fault != "repairs nothing" {
		for _, h := range holders {
			_ = h.hold(key, best[len(best)-1])
		}
	}
	return best, nil
}

func (r *fake) GetValue(ctx context.Context, key string, opts ...routing.Option) ([]byte, error) {
	switch r.fault {
	case "panics":
		panic("fake")
	case "hangs":
		<-r.leak
	}
	best, err := r.best(ctx, key, opts)
	if err != nil {
		return nil, err
	}
	if len(best) == 0 {
		return nil, r.notFound()
	}
	return best[len(best)-1], nil
}

func (r *fake) SearchValue(ctx context.Context, key string, opts ...routing.Option) (<-chan []byte, error) {
	best, err := r.best(ctx, key, opts)
	if err != nil {
		return nil, err
	}
	if len(best) == 0 && r.fault == "searches in vain" {
		return nil, routing.ErrNotFound
	}
	out := make(chan []byte)
	go func() {
		defer close(out)
		for _, value := range best {
			select {
			case out <- value:
			case <-ctx.Done():
				return
			case <-r.stop:
				return
			}
		}
	}()
	return out, nil
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
