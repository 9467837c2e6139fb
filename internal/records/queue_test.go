package records

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	ds "github.com/ipfs/go-datastore"
)

// Close waits for what was accepted; afterwards everything fails.
func TestStoreClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		s, gate := openGated(t)
		put, closed := make(chan error, 1), make(chan error, 1)
		go func() { put <- s.Put(ctx, start, Batch{Records: []*Record{value("/v/x", "1", 5)}})[0] }()
		synctest.Wait()
		go func() { closed <- s.Close() }()
		synctest.Wait()
		if len(closed) > 0 {
			t.Error("closed while a write was under way")
		}
		close(gate.open)
		if err := <-put; err != nil {
			t.Error(err)
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("second close: %v", err)
		}
		for name, f := range map[string]func() error{
			"Put":       func() error { return s.Put(ctx, start, Batch{Records: []*Record{value("/v/y", "1", 5)}})[0] },
			"Drop":      func() error { return s.Drop(ctx, []Item{{}}) },
			"Value":     func() error { _, err := s.Value(ctx, start, "/v/x"); return err },
			"Peer":      func() error { _, err := s.Peer(ctx, start, "x"); return err },
			"Fetch":     func() error { _, err := s.Fetch(ctx, start, nil); return err },
			"Addresses": func() error { _, err := s.Addresses(ctx, nil); return err },
			"Providers": func() error { _, _, err := s.Providers(ctx, start, content("x"), 0, 0); return err },
		} {
			if err := f(); !errors.Is(err, ErrClosed) {
				t.Errorf("%s: got %v, want %v", name, err, ErrClosed)
			}
		}
	})
}

// A caller that gives up gets its context's error at once.
func TestStorePutContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, gate := openGated(t)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		rs := []*Record{value("/v/x", "1", 5), value("/v/y", "1", 5)}
		for _, err := range s.Put(ctx, start, Batch{Records: rs}) {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
			}
		}
		close(gate.open)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// gated is a datastore whose batches wait until it is open.
type gated struct {
	ds.Batching
	open chan struct{}
}

// openGated returns a store on a gated datastore.
func openGated(t *testing.T) (*Store, *gated) {
	t.Helper()
	gate := &gated{Batching: memory(), open: make(chan struct{})}
	s, err := OpenStore(context.Background(), StoreConfig{Datastore: gate, Validator: &rank{}}, start)
	if err != nil {
		t.Fatal(err)
	}
	return s, gate
}

func (g *gated) Batch(ctx context.Context) (ds.Batch, error) {
	b, err := g.Batching.Batch(ctx)
	return &gatedBatch{b, g}, err
}

type gatedBatch struct {
	ds.Batch
	g *gated
}

func (b *gatedBatch) Commit(ctx context.Context) error {
	<-b.g.open
	return b.Batch.Commit(ctx)
}

// While a commit is under way, what comes in waits and goes together.
func TestGroupCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		s, gate := openGated(t)
		const callers = 100
		errs := make(chan error, callers)
		for i := range callers {
			go func() {
				errs <- s.Put(ctx, start, Batch{Records: []*Record{value(fmt.Sprintf("/v/%d", i), "1", 5)}})[0]
			}()
			if i == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		if len(errs) > 0 {
			t.Error("a caller returned before its record was on the datastore")
		}
		if got := len(s.queue.waiting); got != callers-1 {
			t.Errorf("got %d waiting, want %d", got, callers-1)
		}
		close(gate.open)
		for range callers {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if got := s.Stats(); got.Commits != 2 || got.Stored != callers {
			t.Errorf("got %d records in %d commits, want %d in 2", got.Stored, got.Commits, callers)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(len(rowsOf(t, gate.Batching)), callers); diff != "" {
			t.Errorf("rows (-got +want):\n%s", diff)
		}
	})
}
