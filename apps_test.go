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
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/ring"
	"github.com/secondbit/pastry/testutil"
)

// longRoute finds a key whose messages from node 0 pass another node, and
// returns it with the nodes passed, the root last.
func longRoute(t *testing.T, c *testutil.Cluster, app string) (ring.ID, []peer.ID) {
	t.Helper()
	for _, key := range c.RandomKeys(200) {
		r, err := c.Node(0).Route(within(t, 10*time.Second), app, key, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.Hops >= 2 {
			return key, r.Path
		}
	}
	t.Fatal("every key is one hop away")
	return ring.ID{}, nil
}

// sparse is the configuration of a ring in which not everybody knows everybody.
func sparse(seed uint64) testutil.ClusterConfig {
	cfg := seeded(seed, 20)
	cfg.LeafSetSize = 2
	cfg.Options = func(int) []pastry.Option { return []pastry.Option{pastry.WithDigitBits(1)} }
	return cfg
}

func TestForwardChangesPayload(t *testing.T) {
	withRing(t, sparse(101), func(t *testing.T, c *testutil.Cluster) {
		var mu sync.Mutex
		var got *pastry.Message
		register(t, c, "echo", echo)
		key, path := longRoute(t, c, "echo")
		register(t, c, "post", func(i int) pastry.Application {
			return program{
				deliver: func(_ context.Context, m *pastry.Message) ([]byte, error) {
					mu.Lock()
					defer mu.Unlock()
					got = m
					return m.Payload, nil
				},
				forward: func(_ context.Context, m *pastry.Message, next peer.ID) bool {
					m.Payload = fmt.Appendf(m.Payload, ", stamped by %d", i)
					return true
				},
			}
		})
		r, err := c.Node(0).Route(within(t, 10*time.Second), "post", key, []byte("letter"))
		if err != nil {
			t.Fatal(err)
		}
		root := path[len(path)-1]
		if path = r.Path; len(path) < 2 { // perhaps another way, as tables go on to improve
			t.Fatalf("the letter went by %v, which is no long route", path)
		}
		want := &pastry.Message{App: "post", Key: key, Origin: c.Node(0).Host().ID(), Hops: len(path), Original: []byte("letter"),
			Payload: []byte("letter")}
		for _, p := range path[:len(path)-1] {
			want.Payload = fmt.Appendf(want.Payload[:len(want.Payload):len(want.Payload)], ", stamped by %d", c.Index(p))
			want.Changes = append(want.Changes, pastry.Change{By: p, Payload: want.Payload})
		}
		mu.Lock()
		defer mu.Unlock()
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(ring.ID{})); diff != "" {
			t.Errorf("message as delivered (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(pastry.Receipt{Root: root, Hops: len(path), Reply: want.Payload, Path: path}, r); diff != "" {
			t.Errorf("receipt (-want +got):\n%s", diff)
		}
	})
}

// What an application does on the way, and what the sender sees of it.
func TestApplicationOnTheWay(t *testing.T) {
	var forever chan struct{} // made in the bubble
	tests := []struct {
		name    string
		forward func(ctx context.Context, m *pastry.Message, next peer.ID) bool
		want    error // of the sender
		reply   string
	}{
		{"passes", func(context.Context, *pastry.Message, peer.ID) bool { return true }, nil, "hello"},
		{"stops", func(context.Context, *pastry.Message, peer.ID) bool { return false }, pastry.ErrStopped, ""},
		{"panics", func(context.Context, *pastry.Message, peer.ID) bool { panic("no idea") }, nil, "hello"},
		{"changes and panics", func(_ context.Context, m *pastry.Message, _ peer.ID) bool { m.Payload[0]++; panic("no idea") }, nil, "hello"},
		{"makes it too long", func(_ context.Context, m *pastry.Message, _ peer.ID) bool {
			m.Payload = make([]byte, 1<<20)
			return true
		}, nil, "hello"},
		{"empties it", func(_ context.Context, m *pastry.Message, _ peer.ID) bool { m.Payload = nil; return true }, nil, ""},
		{"blocks", func(ctx context.Context, _ *pastry.Message, _ peer.ID) bool { <-ctx.Done(); return true }, context.DeadlineExceeded, ""},
		{"blocks for ever", func(context.Context, *pastry.Message, peer.ID) bool { <-forever; return true }, context.DeadlineExceeded, ""},
	}
	withRing(t, sparse(101), func(t *testing.T, c *testutil.Cluster) {
		forever = make(chan struct{})
		defer close(forever)
		register(t, c, "echo", echo)
		for _, tt := range tests {
			key, _ := longRoute(t, c, "echo") // of now: nodes get to know more of each other
			register(t, c, tt.name, func(int) pastry.Application { return program{forward: tt.forward} })
			r, err := c.Node(0).Route(within(t, 5*time.Second), tt.name, key, []byte("hello"))
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
			}
			if err == nil && string(r.Reply) != tt.reply {
				t.Errorf("%s: got the reply %q, want %q", tt.name, r.Reply, tt.reply)
			}
			if _, err := c.Node(0).Route(within(t, 5*time.Second), "echo", key, nil); err != nil {
				t.Errorf("%s: another application by the same way: %v", tt.name, err)
			}
		}
	})
}

// What the application does at the root, and what the sender sees of it.
func TestApplicationAtTheRoot(t *testing.T) {
	var forever chan struct{} // made in the bubble
	failure := errors.New("out of paper")
	tests := []struct {
		name    string
		deliver func(ctx context.Context, m *pastry.Message) ([]byte, error)
		want    string // in the error
	}{
		{"fails", func(context.Context, *pastry.Message) ([]byte, error) { return nil, failure }, "out of paper"},
		{"panics", func(context.Context, *pastry.Message) ([]byte, error) { panic("no idea") }, "panicked: no idea"},
		{"says too much", func(context.Context, *pastry.Message) ([]byte, error) { return make([]byte, 1<<20), nil }, "1048576"},
		{"blocks", func(ctx context.Context, _ *pastry.Message) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() }, "deadline"},
		{"blocks for ever", func(context.Context, *pastry.Message) ([]byte, error) { <-forever; return nil, nil }, "deadline"},
	}
	withRing(t, seeded(103, 4), func(t *testing.T, c *testutil.Cluster) {
		forever = make(chan struct{})
		defer close(forever)
		register(t, c, "echo", echo)
		for _, tt := range tests {
			register(t, c, tt.name, func(int) pastry.Application { return program{deliver: tt.deliver} })
			for to := range 2 { // itself, and another
				key := c.Node(to).ID()
				for range 20 {
					go func() { _, _ = c.Node(2).Route(within(t, 5*time.Second), tt.name, key, nil) }()
				}
				_, err := c.Node(0).Route(within(t, 5*time.Second), tt.name, key, nil)
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%s, node %d: got %v, want an error that says %q", tt.name, to, err, tt.want)
				}
				if app := new(pastry.AppError); errors.As(err, &app) && app.Root != c.Node(to).Host().ID() {
					t.Errorf("%s, node %d: the error is of %v", tt.name, to, app.Root)
				}
				if _, err := c.Node(3).Route(within(t, time.Second), "echo", key, nil); err != nil {
					t.Errorf("%s, node %d: another application: %v", tt.name, to, err)
				}
			}
		}
		checkRoots(t, c, 10)
	})
}

// An application that does not get done has a bounded number of messages; more
// are refused at once.
func TestBusy(t *testing.T) {
	withRing(t, seeded(104, 2), func(t *testing.T, c *testutil.Cluster) {
		release := make(chan struct{})
		register(t, c, "slow", func(int) pastry.Application {
			return program{deliver: func(context.Context, *pastry.Message) ([]byte, error) { <-release; return nil, nil }}
		})
		const atOnce, more = 1024, 10
		var wg sync.WaitGroup
		errs := make(chan error, atOnce+more)
		for range atOnce + more {
			wg.Go(func() {
				_, err := c.Node(0).Route(within(t, time.Minute), "slow", c.Node(1).ID(), nil)
				errs <- err
			})
		}
		time.Sleep(30 * time.Second)
		if got := len(errs); got != more {
			t.Errorf("%d messages have ended while the application is busy, want %d", got, more)
		}
		close(release)
		wg.Wait()
		close(errs)
		busy := 0
		for err := range errs {
			if errors.Is(err, pastry.ErrBusy) {
				busy++
			} else if err != nil {
				t.Errorf("a message that was taken: %v", err)
			}
		}
		if busy != more {
			t.Errorf("%d messages were refused, want %d", busy, more)
		}
	})
}

func TestSeveralApplications(t *testing.T) {
	withRing(t, seeded(105, 3), func(t *testing.T, c *testutil.Cluster) {
		named := func(name string) pastry.Application {
			return program{deliver: func(_ context.Context, m *pastry.Message) ([]byte, error) {
				return fmt.Appendf(nil, "%s at %s: %s, %t", name, m.App, m.Payload, m.Direct), nil
			}}
		}
		to := c.Node(1)
		for _, name := range []string{"a", "b"} {
			if err := to.Register(name, named(name)); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{"a", "b"} {
			for from := range 3 {
				r, err := c.Node(from).Send(within(t, 5*time.Second), name, to.Host().ID(), []byte("hi"))
				if want := fmt.Sprintf("%s at %s: hi, true", name, name); err != nil || string(r.Reply) != want {
					t.Errorf("from node %d: got %q, %v, want %q", from, r.Reply, err, want)
				}
			}
		}
		if err := to.Unregister("a"); err != nil {
			t.Fatal(err)
		}
		for from := range 3 {
			if _, err := c.Node(from).Route(within(t, 5*time.Second), "a", to.ID(), nil); !errors.Is(err, pastry.ErrNoApp) {
				t.Errorf("unregistered, from node %d: got %v, want %v", from, err, pastry.ErrNoApp)
			}
			r, err := c.Node(from).Route(within(t, 5*time.Second), "b", to.ID(), nil)
			if want := "b at b: , false"; err != nil || string(r.Reply) != want {
				t.Errorf("the other application, from node %d: got %q, %v, want %q", from, r.Reply, err, want)
			}
		}
		if err := to.Register("a", named("a")); err != nil {
			t.Errorf("registering again: %v", err)
		}
	})
}

func TestRegisterErrors(t *testing.T) {
	testutil.WithCluster(t, seeded(106, 1), func(t *testing.T, c *testutil.Cluster) {
		n := c.Node(0)
		if err := n.Register("taken", program{}); err != nil {
			t.Fatal(err)
		}
		tests := []struct {
			name, app string
			a         pastry.Application
			want      error
		}{
			{"empty name", "", program{}, pastry.ErrAppName},
			{"long name", strings.Repeat("x", 129), program{}, pastry.ErrAppName},
			{"not UTF-8", "\xff", program{}, pastry.ErrAppName},
			{"reserved", "pastry/records", program{}, pastry.ErrAppName},
			{"taken", "taken", program{}, pastry.ErrAppName},
			{"nil", "nil", nil, nil},
		}
		for _, tt := range tests {
			if err := n.Register(tt.app, tt.a); err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
			}
		}
		if err := n.Register(strings.Repeat("x", 128), program{}); err != nil {
			t.Errorf("the longest name: %v", err)
		}
		if err := n.Unregister("pastry/records"); !errors.Is(err, pastry.ErrAppName) {
			t.Errorf("unregistering an application of the node's own: got %v, want %v", err, pastry.ErrAppName)
		}
		if err := n.Unregister("nobody"); err != nil {
			t.Errorf("unregistering what is not registered: %v", err)
		}
	})
}
