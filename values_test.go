package pastry_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/routing"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/testutil"
)

// search collects the values that a search gives.
func search(t testing.TB, n *pastry.Node, key string, opts ...routing.Option) (values []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ch, err := n.SearchValue(ctx, key, opts...)
	if err != nil {
		t.Fatalf("SearchValue: %v", err)
	}
	for v := range ch {
		values = append(values, string(v))
	}
	if err := ctx.Err(); err != nil {
		t.Errorf("SearchValue: %v", err)
	}
	return values
}

// checkValue has a node get a value, or nothing if want is empty.
func checkValue(t testing.TB, n *pastry.Node, key, want string, opts ...routing.Option) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	got, err := n.GetValue(ctx, key, opts...)
	if want == "" {
		if err != routing.ErrNotFound {
			t.Errorf("GetValue of %s: got %q, %v, want %v itself", key, got, err, routing.ErrNotFound)
		}
		return
	}
	if err != nil || string(got) != want {
		t.Errorf("GetValue of %s: got %q, %v, want %q", key, got, err, want)
	}
}

func TestPutAndGetValue(t *testing.T) {
	nodes := pastry.LoopbackRing(t, 6, withRanks, pastry.WithReplication(3))
	putValue(t, nodes[0], "/rank/key", "1 first")
	putValue(t, nodes[0], "/rank/key", "1 first") // again
	for _, n := range nodes {
		checkValue(t, n, "/rank/key", "1 first")
		checkValue(t, n, "/rank/other", "")
		if got := search(t, n, "/rank/other"); got != nil {
			t.Errorf("search: got %q, want nothing", got)
		}
	}
	putValue(t, nodes[3], "/rank/key", "2 second")
	for _, n := range nodes {
		checkValue(t, n, "/rank/key", "2 second")
		got := search(t, n, "/rank/key")
		if len(got) == 0 || got[len(got)-1] != "2 second" || len(got) > 2 {
			t.Errorf("search: got %q, want the better value last", got)
		}
	}
}

func TestPutValueRefusesWorse(t *testing.T) {
	nodes := pastry.LoopbackRing(t, 5, withRanks, pastry.WithReplication(2))
	putValue(t, nodes[0], "/rank/key", "5 good")
	for i, n := range nodes { // the holders, the one who put it, and others
		err := n.PutValue(t.Context(), "/rank/key", []byte("4 worse"))
		if !errors.Is(err, pastry.ErrRecordStale) || !errors.Is(err, pastry.ErrNotStored) {
			t.Errorf("node %d: got %v, want an error that wraps %v and %v", i, err, pastry.ErrRecordStale, pastry.ErrNotStored)
		}
	}
	for _, n := range nodes {
		checkValue(t, n, "/rank/key", "5 good")
	}
}

// Which keys have values at all.
func TestValueNamespaces(t *testing.T) {
	everything := pastry.LoopbackRing(t, 1, pastry.WithValidator(lenient{}))[0]
	standard := pastry.LoopbackRing(t, 1, withRanks)[0]
	only := pastry.LoopbackRing(t, 1, pastry.WithValidator(record.NamespacedValidator{"rank": ranks{}}))[0]
	both := pastry.LoopbackRing(t, 1, pastry.WithValidator(record.NamespacedValidator{"rank": lenient{}}), withRanks)[0]
	for _, tt := range []struct {
		name, key string
		n         *pastry.Node
		want      error // nil: it is stored
		itself    bool  // the very error
	}{
		{"a namespace of its own", "/rank/key", standard, nil, false},
		{"pk is there", "/pk/key", standard, pastry.ErrRecordInvalid, false},
		{"ipns is there", "/ipns/key", standard, pastry.ErrRecordInvalid, false},
		{"unknown", "/nobody/key", standard, routing.ErrNotSupported, true},
		{"none", "key", standard, routing.ErrNotSupported, true},
		{"empty", "", standard, routing.ErrNotSupported, true},
		{"a name alone", "/rank", standard, routing.ErrNotSupported, true},
		{"pk is not there", "/pk/key", only, routing.ErrNotSupported, true},
		{"given as a whole", "/rank/key", only, nil, false},
		{"given twice, the last counts", "/rank/key", both, nil, false},
		{"one for everything", "key", everything, nil, false},
		{"one for everything, empty", "", everything, pastry.ErrRecordForged, false},
		{"one for everything, too long", strings.Repeat("k", 513), everything, pastry.ErrRecordForged, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			put := tt.n.PutValue(t.Context(), tt.key, []byte("1 value"))
			if !errors.Is(put, tt.want) || tt.itself && put != tt.want {
				t.Errorf("PutValue: got %v, want %v", put, tt.want)
			}
			if !tt.itself {
				return
			}
			if got, err := tt.n.GetValue(t.Context(), tt.key); err != tt.want {
				t.Errorf("GetValue: got %q, %v, want %v itself", got, err, tt.want)
			}
			if _, err := tt.n.SearchValue(t.Context(), tt.key); err != tt.want {
				t.Errorf("SearchValue: got %v, want %v itself", err, tt.want)
			}
		})
	}
	if err := both.PutValue(t.Context(), "/rank/other", []byte("no rank")); !errors.Is(err, pastry.ErrRecordInvalid) {
		t.Errorf("of two validators the first was asked: %v", err)
	}
}

func TestValuesOffline(t *testing.T) {
	nodes := pastry.LoopbackRing(t, 3, withRanks)
	if err := nodes[0].PutValue(t.Context(), "/rank/here", []byte("1 here"), routing.Offline); err != nil {
		t.Fatal(err)
	}
	checkValue(t, nodes[0], "/rank/here", "1 here", routing.Offline)
	checkValue(t, nodes[0], "/rank/here", "1 here")
	checkValue(t, nodes[1], "/rank/here", "")
	checkValue(t, nodes[1], "/rank/here", "", routing.Offline)

	h, err := pastry.New(loopbackHost(t), withRanks)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := h.PutValue(t.Context(), "/rank/key", []byte("1 alone"), routing.Offline); err != nil {
		t.Errorf("offline before Join: %v", err)
	}
	if got := search(t, h, "/rank/key", routing.Offline); !cmp.Equal(got, []string{"1 alone"}) {
		t.Errorf("got %q, want the value", got)
	}
	checkValue(t, h, "/rank/other", "", routing.Offline)
	if _, err := h.GetValue(t.Context(), "/rank/other"); !errors.Is(err, pastry.ErrNotActive) {
		t.Errorf("GetValue before Join: got %v, want %v", err, pastry.ErrNotActive)
	}
	if err := h.PutValue(t.Context(), "/rank/key", []byte("1 alone")); !errors.Is(err, pastry.ErrNotActive) {
		t.Errorf("PutValue before Join: got %v, want %v", err, pastry.ErrNotActive)
	}
}

func TestValuesAfterClose(t *testing.T) {
	n := pastry.LoopbackRing(t, 1, withRanks)[0]
	putValue(t, n, "/rank/key", "1 value")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := n.GetValue(ctx, "/rank/key"); !errors.Is(err, context.Canceled) {
		t.Errorf("GetValue, cancelled: got %q, %v", got, err)
	}
	if err := n.PutValue(ctx, "/rank/key", []byte("2 value")); !errors.Is(err, context.Canceled) {
		t.Errorf("PutValue, cancelled: got %v", err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := n.GetValue(t.Context(), "/rank/key"); !errors.Is(err, pastry.ErrClosed) {
		t.Errorf("GetValue: got %q, %v, want %v", got, err, pastry.ErrClosed)
	}
	if _, err := n.SearchValue(t.Context(), "/rank/key"); !errors.Is(err, pastry.ErrClosed) {
		t.Errorf("SearchValue: got %v, want %v", err, pastry.ErrClosed)
	}
	for _, opt := range [][]routing.Option{nil, {routing.Offline}} {
		if err := n.PutValue(t.Context(), "/rank/key", []byte("3 value"), opt...); !errors.Is(err, pastry.ErrClosed) {
			t.Errorf("PutValue: got %v, want %v", err, pastry.ErrClosed)
		}
	}
}

// A value is held for 48 hours after it was put last. One that its validator no
// longer accepts is not found before either, except with routing.Expired by who
// has it.
func TestValuesExpire(t *testing.T) {
	end := time.Time{} // set in the bubble
	cfg := seeded(81, 2, pastry.WithHeartbeat(10*time.Minute), pastry.WithNamespacedValidator("until", until{&end}))
	withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
		end = time.Now().Add(time.Hour)
		putValue(t, c.Node(0), "/until/soon", "1 soon")
		for i := range 2 {
			checkValue(t, c.Node(i), "/until/soon", "1 soon")
		}
		time.Sleep(time.Hour + time.Second)
		for i := range 2 {
			checkValue(t, c.Node(i), "/until/soon", "")
			checkValue(t, c.Node(i), "/until/soon", "1 soon", routing.Expired)
			checkValue(t, c.Node(i), "/until/soon", "1 soon", routing.Expired, routing.Offline)
			if got := search(t, c.Node(i), "/until/soon"); got != nil {
				t.Errorf("search: got %q, want nothing", got)
			}
		}

		end = time.Now().Add(1000 * time.Hour)
		putValue(t, c.Node(0), "/until/later", "1 later")
		time.Sleep(48*time.Hour - time.Minute)
		checkValue(t, c.Node(1), "/until/later", "1 later")
		time.Sleep(12 * time.Minute) // the holders allow for clocks that differ
		for i := range 2 {
			checkValue(t, c.Node(i), "/until/later", "")
		}
	})
}

// until is a validator that accepts all values until some time, and none then.
type until struct{ end *time.Time }

func (v until) Validate(string, []byte) error {
	if time.Now().After(*v.end) {
		return errors.New("it is too late")
	}
	return nil
}

func (until) Select(_ string, v [][]byte) (int, error) { return 0, nil }

// Of values put at once everybody gets the best, and holds it in the end.
func TestPutValueConcurrently(t *testing.T) {
	const nodes, values = 6, 12
	withRing(t, seeded(82, nodes, withRanks), func(t *testing.T, c *testutil.Cluster) {
		var wg sync.WaitGroup
		for i := range values {
			wg.Go(func() {
				err := c.Node(i%nodes).PutValue(within(t, time.Minute), "/rank/key", fmt.Appendf(nil, "%d value", i))
				if err != nil && !errors.Is(err, pastry.ErrRecordStale) || err != nil && i == values-1 {
					t.Errorf("value %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		best := fmt.Sprintf("%d value", values-1)
		for i := range nodes {
			checkValue(t, c.Node(i), "/rank/key", best)
		}
		time.Sleep(time.Minute)
		for i := range nodes {
			checkValue(t, c.Node(i), "/rank/key", best, routing.Offline)
		}
	})
}
