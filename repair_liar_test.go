package pastry_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
	"github.com/secondbit/pastry/testutil"
)

func compareReply(verdicts ...*pb.Verdict) *pb.RecordReply {
	return &pb.RecordReply{Body: &pb.RecordReply_Compare{Compare: &pb.CompareReply{Verdicts: verdicts}}}
}

func fetchReply(f *pb.FetchReply) *pb.RecordReply {
	return &pb.RecordReply{Body: &pb.RecordReply_Fetch{Fetch: f}}
}

// listed returns the verdicts of one that says that it holds one more record in
// each arc.
func listed(arcs []*pb.Arc) (verdicts []*pb.Verdict) {
	for _, a := range arcs {
		item := append(append(append([]byte(nil), a.First...), make([]byte, 16)...), 0, 0, 0, 0, 0, 0, 0, 1)
		verdicts = append(verdicts, &pb.Verdict{Listed: true, Items: item})
	}
	return verdicts
}

// settleTime is longer than the time between two comparisons with one member.
const settleTime = 13 * time.Minute

// A replica that pushes false records when it is asked to compare is believed
// none of them.
func TestComparisonDropsLies(t *testing.T) {
	withStrict(t, nil, func(t *testing.T, s *strict) {
		content := pastry.ContentCID(t, "content")
		provide(t, s.client, content)
		putValue(t, s.client, "/rank/key", "5 good")
		time.Sleep(time.Minute)
		rs, peers, reasons := lies(t)
		rs = append(rs, value("/rank/key", "1 worse"), value("/rank/invalid", "no rank"),
			signerOf(s.client.Host()).provider(t, content, func(p *records.Provider) { p.Seq -= uint64(time.Hour) }))
		reasons["stale"], reasons["invalid"] = 2, 1
		var fetched atomic.Int64
		liar(func(_ *pastry.Message, call *pb.RecordCall) (*pb.RecordReply, error) {
			switch {
			case call.GetCompare() != nil:
				return compareReply(listed(call.GetCompare().Arcs)...), nil
			case call.GetFetch() != nil:
				fetched.Add(1)
				reply := findReply(peers, rs...).GetFind()
				return fetchReply(&pb.FetchReply{Records: reply.Records, Peers: reply.Peers, Done: 1}), nil
			}
			return nil, nil
		}).at(s.Node(0))
		before := s.held()
		time.Sleep(settleTime)
		if fetched.Load() == 0 {
			t.Fatal("nobody asked the liar")
		}
		if diff := cmp.Diff(s.held(), before, cmpopts.EquateComparable(records.Entry{})); diff != "" {
			t.Errorf("the members hold something else (-got +want):\n%s", diff)
		}
		for i := 1; i < strictMembers; i++ {
			for reason, least := range reasons {
				if got := s.refused(t, i, reason); got < least {
					t.Errorf("%s records: node %d counted %v, want %v at least", reason, i, got, least)
				}
			}
		}
		if got := fetched.Load(); got > 1000 {
			t.Errorf("the liar was asked %d times", got)
		}
		checkFound(t, s.client, content, infosOf(s.client))
	})
}

// A replica that answers comparisons with nonsense fails alone: the others go on
// comparing, and with it when it comes to its senses.
func TestComparisonWithNonsense(t *testing.T) {
	half := func(a *pb.Arc) *pb.Arc { return &pb.Arc{First: a.First, Last: a.First, Sum: a.Sum} }
	for _, tt := range []struct {
		name   string
		answer liar
	}{
		{"an error", func(*pastry.Message, *pb.RecordCall) (*pb.RecordReply, error) { return nil, errors.New("no") }},
		{"no body", func(*pastry.Message, *pb.RecordCall) (*pb.RecordReply, error) { return &pb.RecordReply{}, nil }},
		{"another body", func(*pastry.Message, *pb.RecordCall) (*pb.RecordReply, error) { return findReply(nil), nil }},
		{"no verdict", func(*pastry.Message, *pb.RecordCall) (*pb.RecordReply, error) { return compareReply(), nil }},
		{"too many verdicts", func(_ *pastry.Message, call *pb.RecordCall) (*pb.RecordReply, error) {
			return compareReply(make([]*pb.Verdict, len(call.GetCompare().GetArcs())+1)...), nil
		}},
		{"parts that do not make up the arc", func(_ *pastry.Message, call *pb.RecordCall) (*pb.RecordReply, error) {
			var vs []*pb.Verdict
			for _, a := range call.GetCompare().GetArcs() {
				vs = append(vs, &pb.Verdict{Parts: []*pb.Arc{half(a)}})
			}
			return compareReply(vs...), nil
		}},
		{"the arc itself as its part", func(_ *pastry.Message, call *pb.RecordCall) (*pb.RecordReply, error) {
			var vs []*pb.Verdict
			for _, a := range call.GetCompare().GetArcs() {
				vs = append(vs, &pb.Verdict{Parts: []*pb.Arc{{First: a.First, Last: a.Last, Sum: make([]byte, ring.Size), Count: 1 << 30}}})
			}
			return compareReply(vs...), nil
		}},
		{"cut items", func(_ *pastry.Message, call *pb.RecordCall) (*pb.RecordReply, error) {
			return compareReply(&pb.Verdict{Listed: true, Items: make([]byte, 39)}), nil
		}},
		{"records it does not give", func(_ *pastry.Message, call *pb.RecordCall) (*pb.RecordReply, error) {
			if call.GetFetch() != nil {
				return fetchReply(&pb.FetchReply{}), nil
			}
			return compareReply(listed(call.GetCompare().GetArcs())...), nil
		}},
		{"more records than were asked for", func(_ *pastry.Message, call *pb.RecordCall) (*pb.RecordReply, error) {
			if call.GetFetch() != nil {
				return fetchReply(&pb.FetchReply{Done: 1 << 30}), nil
			}
			return compareReply(listed(call.GetCompare().GetArcs())...), nil
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const nodes, mad = 3, 0
			var m metered
			cfg := seeded(73, nodes)
			cfg.Options = func(i int) []pastry.Option {
				return []pastry.Option{m.option(i), pastry.WithHeartbeat(time.Minute)}
			}
			withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
				var asked atomic.Int64
				liar(func(msg *pastry.Message, call *pb.RecordCall) (*pb.RecordReply, error) {
					asked.Add(1)
					return tt.answer(msg, call)
				}).at(c.Node(mad))
				var contents []records.ID
				for i := range 5 {
					content := pastry.ContentCID(t, fmt.Sprint(i))
					provide(t, c.Node(1), content)
					contents = append(contents, providerID(content, 1, c))
				}
				if err := pastry.Forget(t.Context(), c.Node(2)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(settleTime)
				for _, id := range contents {
					if !pastry.Holds(c.Node(2), id) {
						t.Errorf("the other member lacks %v", id)
					}
				}
				if got := m.value(t, 1, "repair_tasks_total", "sync", "failed"); got < 1 || got > 100 {
					t.Errorf("%v comparisons failed, want some, and not many", got)
				}
				if got := asked.Load(); got > 1000 {
					t.Errorf("it was asked %d times", got)
				}
				pastry.ReplaceKeeper(c.Node(mad), pastry.Keeper(c.Node(mad)))
				time.Sleep(settleTime)
				for _, id := range contents {
					if !pastry.Holds(c.Node(mad), id) {
						t.Errorf("it has come to its senses and lacks %v", id)
					}
				}
			})
		})
	}
}

// A record is stored when a majority of its replicas have it, and not before.
func TestProvideNeedsMajority(t *testing.T) {
	const nodes = 4
	content := pastry.ContentCID(t, "content")
	for refusing := range nodes {
		t.Run(fmt.Sprint(refusing, " refuse"), func(t *testing.T) {
			withRing(t, seeded(74, nodes, pastry.WithReplication(nodes)), func(t *testing.T, c *testutil.Cluster) {
				order := pastry.RootFirst(c.Oracle().Members(), content)
				for _, n := range order[nodes-refusing:] {
					liar(func(_ *pastry.Message, call *pb.RecordCall) (*pb.RecordReply, error) {
						if call.GetStore() == nil {
							return nil, nil
						}
						return outcomeReply(pb.RecordOutcome_RECORD_OUTCOME_FULL), nil
					}).at(n)
				}
				err := order[0].Provide(within(t, time.Minute), content, true)
				if refusing < nodes/2 {
					if err != nil {
						t.Errorf("got %v, want it stored by the others", err)
					}
				} else if !errors.Is(err, pastry.ErrNotStored) || !errors.Is(err, pastry.ErrRecordFull) {
					t.Errorf("got %v, want an error that wraps %v and %v", err, pastry.ErrNotStored, pastry.ErrRecordFull)
				}
			})
		})
	}
}

// While a majority of the replicas is silent nothing is said to be stored, and
// it is as soon as their places are taken.
func TestProvideWaitsForMajority(t *testing.T) {
	const nodes = 6
	withRing(t, seeded(75, nodes, pastry.WithReplication(3)), func(t *testing.T, c *testutil.Cluster) {
		content := pastry.ContentCID(t, "content")
		order := pastry.RootFirst(c.Oracle().Members(), content)
		c.Crash(c.Index(order[1].Host().ID()), c.Index(order[2].Host().ID()))
		begun := time.Now()
		if err := order[5].Provide(within(t, time.Minute), content, true); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("it took %v", took)
		}
		holders := 0
		for _, i := range []int{0, 3, 4} {
			if pastry.Holds(order[i], records.NewID(records.TypeProvider, content.Hash(), order[5].Host().ID())) {
				holders++
			}
		}
		if holders < 2 {
			t.Errorf("%d of the live replicas hold it, want 2 at least", holders)
		}
	})
}
