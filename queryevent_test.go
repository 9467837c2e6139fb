package pastry_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/routing"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/testutil"
)

// events runs a query and returns the events of it.
func events(t *testing.T, query func(ctx context.Context)) (evs []*routing.QueryEvent) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ctx, ch := routing.RegisterForQueryEvents(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ev := range ch {
			evs = append(evs, ev)
		}
	}()
	query(ctx)
	cancel()
	<-done
	return evs
}

func typesOf(evs []*routing.QueryEvent) []routing.QueryEventType {
	var types []routing.QueryEventType
	for _, ev := range evs {
		types = append(types, ev.Type)
	}
	return types
}

// A query tells whom it asks, who has answered, and what it found, in that order.
func TestQueryEvents(t *testing.T) {
	const members = 5
	cfg := seeded(97, members)
	cfg.Options = clientsFrom(members, pastry.WithReplication(2))
	withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
		client := addClient(t, c)
		content := pastry.ContentCID(t, "content")
		provide(t, c.Node(0), content)
		putValue(t, c.Node(1), "/rank/key", "1 value")
		other := addClient(t, c)
		ask := []routing.QueryEventType{routing.SendingQuery, routing.PeerResponse}
		for _, tt := range []struct {
			name  string
			query func(ctx context.Context)
			want  []routing.QueryEventType
			check func(ev *routing.QueryEvent) bool // the last
		}{
			{"FindProvidersAsync", func(ctx context.Context) {
				for range client.FindProvidersAsync(ctx, content, 0) {
				}
			}, append(ask, routing.Provider), func(ev *routing.QueryEvent) bool {
				return len(ev.Responses) == 1 && cmp.Equal(*ev.Responses[0], infosOf(c.Node(0))[0])
			}},
			{"GetValue", func(ctx context.Context) { client.GetValue(ctx, "/rank/key") }, append(ask, routing.Value),
				func(ev *routing.QueryEvent) bool { return ev.Extra == "1 value" }},
			{"SearchValue", func(ctx context.Context) {
				ch, err := client.SearchValue(ctx, "/rank/key")
				if err != nil {
					t.Fatal(err)
				}
				for range ch {
				}
			}, append(ask, routing.Value), func(ev *routing.QueryEvent) bool { return ev.Extra == "1 value" }},
			{"FindPeer", func(ctx context.Context) { client.FindPeer(ctx, other.Host().ID()) }, append(ask, routing.FinalPeer),
				func(ev *routing.QueryEvent) bool {
					return ev.ID == other.Host().ID() && len(ev.Responses) == 1 && ev.Responses[0].ID == ev.ID
				}},
			{"GetValue of nothing", func(ctx context.Context) { client.GetValue(ctx, "/rank/none") }, ask,
				func(*routing.QueryEvent) bool { return true }},
		} {
			evs := events(t, tt.query)
			if diff := cmp.Diff(typesOf(evs), tt.want); diff != "" {
				t.Errorf("%s: events differ (-got +want):\n%s", tt.name, diff)
				continue
			}
			for i, ev := range evs[:2] {
				if c.Index(ev.ID) < 0 || c.Index(ev.ID) >= members || ev.ID != evs[0].ID {
					t.Errorf("%s: event %d is about %v, want a member, and the same", tt.name, i, ev.ID)
				}
			}
			if last := evs[len(evs)-1]; !tt.check(last) {
				t.Errorf("%s: the last event is %+v", tt.name, last)
			}
		}

		c.Crash(upTo(0, members)...)
		evs := events(t, func(ctx context.Context) { client.GetValue(ctx, "/rank/key") })
		if got := typesOf(evs); !slices.Equal(got, []routing.QueryEventType{routing.SendingQuery, routing.QueryError}) {
			t.Fatalf("nobody answers: got %v", got)
		}
		if evs[1].ID != evs[0].ID || evs[1].Extra == "" {
			t.Errorf("nobody answers: got %+v after %+v", evs[1], evs[0])
		}
	})
}

// Who asked for events and does not read them holds up the query, and can always
// end it.
func TestQueryEventsUnread(t *testing.T) {
	const providers = 40
	withRing(t, seeded(98, 2), func(t *testing.T, c *testutil.Cluster) {
		content := pastry.ContentCID(t, "content")
		pastry.Crowd(t, c.Node(0), content.Hash(), providers, 1)
		ctx, cancel := context.WithCancel(t.Context())
		ctx, unread := routing.RegisterForQueryEvents(ctx)
		ch := c.Node(0).FindProvidersAsync(ctx, content, 0)
		got := 0
		for open := true; open; {
			select {
			case _, open = <-ch:
				got++
			case <-time.After(time.Minute):
				open = false
			}
		}
		if got < 1 || got > routing.QueryEventBufferSize {
			t.Errorf("got %d providers while %d events were unread", got, len(unread))
		}
		begun := time.Now()
		cancel()
		for range ch {
		}
		if took := time.Since(begun); took > 0 {
			t.Errorf("the query ended %v after it was cancelled, want at once", took)
		}
		for range unread {
		}
	})
}
