package pastry_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/routing"
	"google.golang.org/protobuf/proto"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
	"github.com/secondbit/pastry/testutil"
)

// divided is a ring in which the replicas of one key hold different values of it.
// Its nodes are in the order of their distance to the key.
type divided struct {
	*testutil.Cluster
	metered
	order []*pastry.Node
	key   string
}

// withDivided runs f on such a ring. Each node holds the value given for it, from
// the root on; none where that is empty.
func withDivided(t *testing.T, replicas int, values []string, f func(t *testing.T, d *divided)) {
	t.Helper()
	d := &divided{key: "/rank/key"}
	cfg := seeded(83, len(values))
	cfg.Options = func(i int) []pastry.Option {
		return []pastry.Option{d.option(i), withRanks, pastry.WithReplication(replicas)}
	}
	withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
		d.Cluster = c
		time.Sleep(time.Minute) // until all have compared
		d.order = c.Oracle().Members()
		slices.SortFunc(d.order, func(a, b *pastry.Node) int { return ring.CompareDistance(d.at(), a.ID(), b.ID()) })
		for i, v := range values {
			if v != "" {
				got := plant(t, d.order[0], d.order[i], nil, value(d.key, v))
				if len(got) != 1 || got[0] != pb.RecordOutcome_RECORD_OUTCOME_OK {
					t.Fatalf("%q at node %d: got %v", v, i, got)
				}
			}
		}
		f(t, d)
	})
}

func (d *divided) at() ring.ID { return ring.FromKey([]byte(d.key)) }

func (d *divided) total(t *testing.T, name string, labels ...string) (sum float64) {
	t.Helper()
	for i := range d.Len() {
		sum += d.value(t, i, name, labels...)
	}
	return sum
}

// A root that has compared what it holds answers at once, and hears as many
// replicas as are asked for.
func TestQuorumIsHeard(t *testing.T) {
	const nodes = 7
	values := slices.Repeat([]string{"1 value"}, nodes)
	for _, replicas := range []int{5, 8} {
		t.Run(fmt.Sprint(replicas, " replicas"), func(t *testing.T) {
			withDivided(t, replicas, values[:nodes], func(t *testing.T, d *divided) {
				most := min(replicas, nodes)
				if !pastry.Complete(d.order[0], d.at()) {
					t.Error("the root is not complete")
				}
				majority := most/2 + 1
				for quorum, want := range map[int]int{0: 1, 1: 1, 2: majority, majority: majority, most: most, 1 << 30: most} {
					reply, err := pastry.AskRoot(within(t, time.Minute), d.order[nodes-1], d.at(), findCall(records.TypeValue, []byte(d.key), quorum))
					if err != nil {
						t.Fatal(err)
					}
					if got := int(reply.GetFind().GetHeard()); got != want {
						t.Errorf("quorum of %d: heard %d, want %d", quorum, got, want)
					}
				}
			})
		})
	}
}

// A stale root is outvoted as soon as others are asked, and learns.
func TestQuorumOfValues(t *testing.T) {
	values := []string{"1 old", "2 new", "2 new", "2 new", "2 new", "", ""}
	for _, tt := range []struct {
		name string
		opts []routing.Option
		want string
	}{
		{"the root alone", nil, "1 old"},
		{"a majority", []routing.Option{pastry.Quorum(3)}, "2 new"},
		{"all", []routing.Option{pastry.Quorum(0)}, "2 new"},
		{"more than there are", []routing.Option{pastry.Quorum(16)}, "2 new"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			withDivided(t, 5, values, func(t *testing.T, d *divided) {
				checkValue(t, d.order[0], d.key, tt.want, tt.opts...)
				if tt.want == values[0] {
					return
				}
				checkValue(t, d.order[0], d.key, tt.want, routing.Offline)
			})
		})
	}
}

// The best value is given to the replicas that turn out to hold a worse one, or
// none.
func TestBestValueIsWrittenBack(t *testing.T) {
	values := []string{"2 middling", "1 old", "3 best", "", "3 best", "", ""}
	withDivided(t, 5, values, func(t *testing.T, d *divided) {
		last := d.order[len(d.order)-1]
		checkValue(t, last, d.key, "3 best", pastry.Quorum(0))
		time.Sleep(time.Second)
		for i, n := range d.order[:5] {
			got, err := n.GetValue(t.Context(), d.key, routing.Offline)
			if err != nil || string(got) != "3 best" {
				t.Errorf("replica %d: got %q, %v, want the best", i, got, err)
			}
		}
		if got := d.total(t, "values_written_back_total"); got != 2 {
			t.Errorf("%v values were written back, want 2", got)
		}
		checkValue(t, last, d.key, "3 best", pastry.Quorum(0))
		time.Sleep(time.Second)
		if got := d.total(t, "values_written_back_total"); got != 2 {
			t.Errorf("%v values were written back, want no more than before", got)
		}
	})
}

// A search gives what is here first, and then only what is better.
func TestSearchStreamsBetterValues(t *testing.T) {
	values := []string{"3 best", "3 best", "3 best", "1 old", "3 best", "", ""}
	withDivided(t, 5, values, func(t *testing.T, d *divided) {
		if got, want := search(t, d.order[3], d.key), []string{"1 old", "3 best"}; !cmp.Equal(got, want) {
			t.Errorf("from a stale replica: got %q, want %q", got, want)
		}
		if got, want := search(t, d.order[6], d.key), []string{"3 best"}; !cmp.Equal(got, want) {
			t.Errorf("from another node: got %q, want %q", got, want)
		}
		if err := d.order[6].PutValue(t.Context(), d.key, []byte("2 mine"), routing.Offline); err != nil {
			t.Fatal(err)
		}
		if got, want := search(t, d.order[6], d.key), []string{"2 mine", "3 best"}; !cmp.Equal(got, want) {
			t.Errorf("from one with a value of its own: got %q, want %q", got, want)
		}
		if got, want := search(t, d.order[6], d.key, routing.Offline), []string{"2 mine"}; !cmp.Equal(got, want) {
			t.Errorf("offline: got %q, want %q", got, want)
		}
	})
}

// A search ends when it is cancelled, though nobody reads what it has found.
func TestSearchEndsWithContext(t *testing.T) {
	withDivided(t, 3, []string{"1 value", "1 value", "1 value"}, func(t *testing.T, d *divided) {
		ctx, cancel := context.WithCancel(t.Context())
		unread, err := d.order[0].SearchValue(ctx, d.key)
		if err != nil {
			t.Fatal(err)
		}
		d.Crash(d.Index(d.order[0].Host().ID()), d.Index(d.order[1].Host().ID()))
		waiting, err := d.order[2].SearchValue(ctx, "/rank/other")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
		cancel()
		cancelled := time.Now()
		for _, ch := range []<-chan []byte{unread, waiting} {
			for range ch {
			}
		}
		if late := time.Since(cancelled); late > 0 {
			t.Errorf("the channels were closed %v after the cancellation, want at once", late)
		}
	})
}

// A root that does not hear a majority of the replicas does not say that there is
// no value: they may have one that it lacks.
func TestNotFoundTakesMajority(t *testing.T) {
	const nodes = 7
	for _, cut := range []int{0, 2, 4, 5, 6} {
		t.Run(fmt.Sprint(cut, " cut off"), func(t *testing.T) {
			withRing(t, seeded(84, nodes, withRanks, pastry.WithReplication(nodes)), func(t *testing.T, c *testutil.Cluster) {
				time.Sleep(time.Minute)
				c.Partition(upTo(0, nodes-cut), upTo(nodes-cut, nodes))
				call := findCall(records.TypeValue, []byte("/rank/none"), 0)
				payload, err := proto.Marshal(call)
				if err != nil {
					t.Fatal(err)
				}
				m := &pastry.Message{App: pastry.RecordsApp, Key: ring.FromKey(call.GetFind().Name), Payload: payload}
				reply, err := pastry.Keeper(c.Node(0)).Deliver(within(t, 10*time.Second), m)
				if minority := cut > nodes/2; minority != errors.Is(err, pastry.ErrUnsure) || minority == (err == nil) {
					t.Errorf("got %q, %v, want an error that wraps %v: %t", reply, err, pastry.ErrUnsure, minority)
				}
			})
		})
	}
}

// A root that has no room answers with what the others hold.
func TestFullRootAnswers(t *testing.T) {
	const nodes = 4
	content := pastry.ContentCID(t, "content")
	for name, call := range map[string]*pb.RecordCall{
		"value":    findCall(records.TypeValue, []byte("/rank/key"), 0),
		"provider": findCall(records.TypeProvider, content.Hash(), 0),
	} {
		t.Run(name, func(t *testing.T) {
			key, full := ring.FromKey(call.GetFind().Name), 0
			cfg := seeded(85, nodes)
			withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) { full = c.Index(c.Oracle().Root(key).Host().ID()) })
			cfg.Options = func(i int) []pastry.Option {
				l := pastry.RecordLimits{}
				if i == full {
					l.Bytes = 1
				}
				return []pastry.Option{withRanks, pastry.WithRecordLimits(l)}
			}
			withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
				time.Sleep(time.Minute) // until all have compared
				asker, s := c.Node((full+1)%nodes), newSigner(t, "provider")
				for i := range nodes {
					if i != full {
						plant(t, asker, c.Node(i), [][]byte{s.addresses(t, somewhere)}, value("/rank/key", "1 value"), s.provider(t, content, nil))
					}
				}
				reply, err := pastry.AskRoot(within(t, time.Minute), asker, key, call)
				if err != nil {
					t.Fatal(err)
				}
				if got := reply.GetFind(); len(got.GetRecords()) != 1 || got.GetTotal() != 1 || got.GetHeard() <= nodes/2 {
					t.Errorf("got %d of %d records from %d members, want the one that all others hold", len(got.GetRecords()), got.GetTotal(), got.GetHeard())
				}
				if held := pastry.HeldEntries(c.Node(full)); len(held) > 0 {
					t.Errorf("the root holds %d records, though it has no room", len(held))
				}
			})
		})
	}
}
