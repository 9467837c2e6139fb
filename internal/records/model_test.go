package records

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/peer"
)

// model is what a store is to hold, worked out in the plainest way.
type model struct {
	limits Limits
	held   map[ID]*Record
}

func (m *model) put(now time.Time, r *Record) error {
	id := r.ID()
	held := m.held[id]
	switch {
	case !r.Expires.After(now):
		return ErrExpired
	case held == nil:
	case held.Version == r.Version:
		if held.Expires.After(now) {
			return nil
		}
	case r.Type == TypeValue && held.Expires.After(now):
		wanted, err := replaces(&rank{}, held, r)
		if !wanted {
			return err
		}
	case r.Type != TypeValue && held.Version > r.Version:
		return ErrStale
	}
	var spilled *Record
	if crowd := m.crowd(r); held == nil && r.Type == TypeProvider && len(crowd) >= m.limits.PerKey {
		spilled = slices.MinFunc(append(crowd, r), func(a, b *Record) int {
			if c := a.Expires.Compare(b.Expires); c != 0 {
				return c
			}
			return b.ID().Compare(a.ID())
		})
		if spilled == r {
			return nil
		}
	}
	if held == nil && (m.signed(r.Peer) >= m.limits.PerPeer && r.Peer != "" || spilled == nil && len(m.held) >= m.limits.Records) {
		return ErrFull
	}
	if spilled != nil {
		delete(m.held, spilled.ID())
	}
	m.held[id] = r
	return nil
}

func (m *model) crowd(like *Record) (crowd []*Record) {
	for _, r := range m.held {
		if r.Type == TypeProvider && string(r.Name) == string(like.Name) {
			crowd = append(crowd, r)
		}
	}
	return crowd
}

func (m *model) signed(p peer.ID) (n int) {
	for _, r := range m.held {
		if r.Peer == p {
			n++
		}
	}
	return n
}

// A store does what the model does, whatever comes in, in batches of whatever
// size, over restarts.
func TestStoreModel(t *testing.T) {
	var ps []party
	var wheres []*Addresses
	for i := range 6 {
		ps = append(ps, newParty(i))
		wheres = append(wheres, ps[i].is(0, 1))
	}
	ctx := context.Background()
	for seed := range uint64(40) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			limits := Limits{Records: 10 + rng.IntN(40), PerKey: 1 + rng.IntN(6), PerPeer: 1 + rng.IntN(12)}
			m := &model{limits: limits, held: make(map[ID]*Record)}
			db := memory()
			s := openStore(t, db, limits)
			now := start
			for step := range 60 {
				now = now.Add(time.Duration(rng.IntN(30)) * time.Second)
				b := Batch{Peers: wheres}
				var want []error
				for range rng.IntN(12) {
					r := randomRecord(rng, ps, int(now.Sub(start)/time.Minute))
					b.Records = append(b.Records, r)
					want = append(want, m.put(now, r))
				}
				for i, err := range s.Put(ctx, now, b) {
					if !errors.Is(err, want[i]) {
						t.Fatalf("step %d, record %d: got %v, want %v", step, i, err, want[i])
					}
				}
				switch rng.IntN(8) {
				case 0:
					for id, r := range m.held {
						if !r.Expires.After(now) {
							delete(m.held, id)
						}
					}
					if _, err := s.Expire(ctx, now); err != nil {
						t.Fatal(err)
					}
				case 1:
					var items []Item
					for id, r := range m.held {
						if rng.IntN(4) == 0 {
							items = append(items, r.item())
							delete(m.held, id)
						}
					}
					if err := s.Drop(ctx, items); err != nil {
						t.Fatal(err)
					}
				case 2:
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					s = openStore(t, db, limits)
				}
				if got := contentsOf(t, s); !reflect.DeepEqual(got, m.held) {
					t.Fatalf("step %d (-got +want):\n%s", step, cmp.Diff(got, m.held))
				}
			}
		})
	}
}

func randomRecord(rng *rand.Rand, ps []party, now int) *Record {
	p := ps[rng.IntN(len(ps))]
	minutes := now + rng.IntN(6)
	switch rng.IntN(5) {
	case 0:
		return value(fmt.Sprintf("/v/%d", rng.IntN(4)), fmt.Sprint(rng.IntN(20)), minutes)
	case 1:
		return p.record(now*4+rng.IntN(4), minutes)
	}
	return p.provides(fmt.Sprint(rng.IntN(4)), now*4+rng.IntN(4), minutes)
}

// Many use a store at once.
func TestStoreConcurrent(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, memory(), Limits{PerKey: 3, Records: 60})
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(n), 2))
			ps := []party{newParty(n), newParty(n + 1)}
			for i := range 150 {
				r := randomRecord(rng, ps, i/30)
				err := s.Put(ctx, start, Batch{[]*Record{r}, []*Addresses{ps[0].is(i, 1), ps[1].is(i, 1)}})[0]
				if err != nil && Outcome(err) == Outcome(errors.New("other")) && !errors.Is(err, ErrFull) {
					t.Error(err)
				}
				_, _, err1 := s.Providers(ctx, start, content("1"), 0, 2)
				_, err2 := s.Value(ctx, start, "/v/1")
				_, err3 := s.Addresses(ctx, []peer.ID{ps[0].id})
				_, err4 := s.Fetch(ctx, start, []ID{r.ID()})
				var err5 error
				if i%10 == 0 {
					err5 = s.Drop(ctx, []Item{r.item()})
				}
				if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 50 {
			if _, err := s.Expire(ctx, minute(i/10)); err != nil {
				t.Error(err)
			}
			s.View(func(x *Index) { x.Summary(WholeRing) })
			s.Stats()
		}
	})
	wg.Wait()
	contentsOf(t, s)
}
