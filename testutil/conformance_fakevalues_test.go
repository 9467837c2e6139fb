package testutil_test

import (
	"bytes"
	"context"
	"errors"

	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/routing"
)

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
