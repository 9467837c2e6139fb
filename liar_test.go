package pastry_test

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	ma "github.com/multiformats/go-multiaddr"
	"google.golang.org/protobuf/proto"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
	"github.com/secondbit/pastry/testutil"
)

// liar answers record calls in place of a node. Where it returns nothing, the
// node answers itself.
type liar func(m *pastry.Message, call *pb.RecordCall) (*pb.RecordReply, error)

// at makes a node a liar.
func (l liar) at(n *pastry.Node) {
	pastry.ReplaceKeeper(n, program{deliver: func(ctx context.Context, m *pastry.Message) ([]byte, error) {
		var call pb.RecordCall
		if err := proto.Unmarshal(m.Payload, &call); err != nil {
			return nil, err
		}
		reply, err := l(m, &call)
		if reply == nil && err == nil {
			return pastry.Keeper(n).Deliver(ctx, m)
		}
		if err != nil {
			return nil, err
		}
		return proto.Marshal(reply)
	}})
}

func findReply(peers [][]byte, rs ...*records.Record) *pb.RecordReply {
	found := &pb.FindReply{Peers: peers, Total: uint32(len(rs)), Heard: 1, Complete: true}
	for _, r := range rs {
		found.Records = append(found.Records, r.Encode())
	}
	return &pb.RecordReply{Body: &pb.RecordReply_Find{Find: found}}
}

func outcomeReply(outcomes ...pb.RecordOutcome) *pb.RecordReply {
	return &pb.RecordReply{Body: &pb.RecordReply_Store{Store: &pb.StoreReply{Outcomes: outcomes}}}
}

// withServant runs f on a ring of one member and a client, node 1.
func withServant(t *testing.T, f func(t *testing.T, c *testutil.Cluster, m *metered)) {
	t.Helper()
	m := new(metered)
	cfg := seeded(72, 1)
	cfg.Network.Latency = func(int, int) time.Duration { return time.Millisecond }
	cfg.Options = func(i int) []pastry.Option {
		opts := []pastry.Option{m.option(i), withRanks}
		if i == 1 {
			opts = append(opts, pastry.WithMode(pastry.ModeClient))
		}
		return opts
	}
	withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
		if _, err := c.Add(); err != nil {
			t.Fatal(err)
		}
		if err := c.Join(within(t, 30*time.Second), 1); err != nil {
			t.Fatal(err)
		}
		f(t, c, m)
	})
}

// lies returns records about a content that nobody may believe, and how many of
// them there are for each reason.
func lies(t *testing.T) (rs []*records.Record, peers [][]byte, reasons map[string]float64) {
	t.Helper()
	content := pastry.ContentCID(t, "content")
	damaged, unsigned := newSigner(t, "damaged"), newSigner(t, "unsigned")
	expired, nowhere, lost := newSigner(t, "expired"), newSigner(t, "nowhere"), newSigner(t, "lost")
	rs = []*records.Record{
		damaged.provider(t, content, nil),
		unsigned.provider(t, content, func(p *records.Provider) { p.Peer = damaged.id }),
		{Type: 99, Name: content.Hash()},
		expired.provider(t, content, func(p *records.Provider) { p.Expires = time.Now().Add(-time.Minute) }),
		nowhere.provider(t, content, nil),
		lost.provider(t, content, nil),
	}
	rs[0].Data = bytes.Clone(rs[0].Data)
	rs[0].Data[len(rs[0].Data)-1] ^= 1
	for _, s := range []signer{damaged, unsigned, expired} {
		peers = append(peers, s.addresses(t, somewhere))
	}
	peers = append(peers, nowhere.addresses(t), []byte("garbage"))
	return rs, peers, map[string]float64{"forged": 4, "expired": 1, "unaddressed": 2}
}

// A reader passes on nothing that it cannot verify, whoever tells it.
func TestReaderDropsLies(t *testing.T) {
	withServant(t, func(t *testing.T, c *testutil.Cluster, m *metered) {
		content := pastry.ContentCID(t, "content")
		good, other := newSigner(t, "good"), newSigner(t, "other")
		rs, peers, reasons := lies(t)
		rs = append(rs, other.provider(t, pastry.ContentCID(t, "other content"), nil), good.provider(t, content, nil), good.provider(t, content, nil))
		peers = append(peers, good.addresses(t, somewhere), other.addresses(t, somewhere))
		reasons["forged"]++ // about another content
		liar(func(*pastry.Message, *pb.RecordCall) (*pb.RecordReply, error) { return findReply(peers, rs...), nil }).at(c.Node(0))

		want := []peer.AddrInfo{{ID: good.id, Addrs: []ma.Multiaddr{ma.StringCast(somewhere)}}}
		if diff := cmp.Diff(find(t, c.Node(1), content, 0), want); diff != "" {
			t.Errorf("providers differ (-got +want):\n%s", diff)
		}
		for reason, count := range reasons {
			if got := m.value(t, 1, "record_refusals_total", reason); got != count {
				t.Errorf("%s records: counted %v, want %v", reason, got, count)
			}
		}
	})
}

// Nor does a caller believe what is said about values, peers and members.
func TestCallerDropsLies(t *testing.T) {
	withServant(t, func(t *testing.T, c *testutil.Cluster, _ *metered) {
		n, asked := c.Node(1), newSigner(t, "asked")
		other := peerRecord(newSigner(t, "other"), newSigner(t, "other").addresses(t, somewhere))
		forged := peerRecord(asked, append(bytes.Clone(asked.addresses(t, somewhere)), 0))
		unsure := func(what string, err error) {
			t.Helper()
			if !errors.Is(err, pastry.ErrUnsure) {
				t.Errorf("%s: got %v, want an error that wraps %v", what, err, pastry.ErrUnsure)
			}
		}
		for _, tt := range []struct {
			name  string
			reply *pb.RecordReply
		}{
			{"invalid value", findReply(nil, value("/rank/key", "no rank"))},
			{"value of another key", findReply(nil, value("/rank/other", "7 other"))},
			{"another peer", findReply(nil, other)},
			{"forged peer", findReply(nil, forged)},
			{"a peer nowhere", findReply(nil, peerRecord(asked, asked.addresses(t)))},
			{"empty record", &pb.RecordReply{Body: &pb.RecordReply_Find{Find: &pb.FindReply{Records: []*pb.Record{{}}, Total: 1}}}},
			{"nothing", findReply(nil)},
			{"another body", outcomeReply(pb.RecordOutcome_RECORD_OUTCOME_OK)},
			{"no body", &pb.RecordReply{}},
			{"members that are none", &pb.RecordReply{Body: &pb.RecordReply_Locate{Locate: &pb.LocateReply{Members: []*pb.Contact{{}, {Record: []byte("x")}}}}}},
		} {
			liar(func(*pastry.Message, *pb.RecordCall) (*pb.RecordReply, error) { return tt.reply, nil }).at(c.Node(0))
			ctx := within(t, 20*time.Second)
			if got, err := n.GetValue(ctx, "/rank/key"); err == nil {
				t.Errorf("%s: GetValue: got %q, want an error", tt.name, got)
			}
			if got, err := n.FindPeer(ctx, asked.id); err == nil || got.ID != "" {
				t.Errorf("%s: FindPeer: got %v, %v, want an error", tt.name, got, err)
			}
			if got, err := n.GetClosestPeers(ctx, "key"); err == nil {
				t.Errorf("%s: GetClosestPeers: got %v, want an error", tt.name, got)
			}
			if got := find(t, n, pastry.ContentCID(t, "content"), 0); got != nil {
				t.Errorf("%s: providers: got %v, want none", tt.name, got)
			}
			if found := tt.reply.GetFind(); found.GetTotal() > 0 {
				_, err := n.GetValue(ctx, "/rank/key")
				unsure(tt.name+": GetValue", err)
				_, err = n.FindPeer(ctx, asked.id)
				unsure(tt.name+": FindPeer", err)
			}
			if err := ctx.Err(); err != nil {
				t.Errorf("%s: took too long", tt.name)
			}
		}
	})
}

// A root takes in nothing false from a replica, and gives a better value to one
// that holds a worse.
func TestRootDropsLies(t *testing.T) {
	withStrict(t, nil, func(t *testing.T, s *strict) {
		content := pastry.ContentCID(t, "content")
		provide(t, s.client, content)
		putValue(t, s.client, "/rank/key", "5 good")
		time.Sleep(10 * time.Second)
		key := ring.FromMultihash(content.Hash())
		root := s.Index(s.Oracle().Root(key).Host().ID())
		other := (root + 1) % strictMembers
		rs, peers, reasons := lies(t)
		liar(func(_ *pastry.Message, call *pb.RecordCall) (*pb.RecordReply, error) {
			return findReply(peers, append(rs, value("/rank/key", "9 of another type"))...), nil
		}).at(s.Node(other))
		before := s.held()
		reply, err := pastry.AskRoot(within(t, 20*time.Second), s.client, key, findCall(records.TypeProvider, content.Hash(), strictMembers))
		if err != nil {
			t.Fatal(err)
		}
		if got := reply.GetFind(); len(got.GetRecords()) != 1 || got.GetHeard() != strictMembers {
			t.Errorf("got %d records from %d replicas, want the good one from all", len(got.GetRecords()), got.GetHeard())
		}
		if now := s.held(); len(now[root]) != len(before[root]) {
			t.Errorf("the root holds %d records, want %d", len(now[root]), len(before[root]))
		}
		reasons["forged"]++ // of another type
		for reason, least := range reasons {
			if got := s.refused(t, root, reason); got < least {
				t.Errorf("%s records: the root counted %v, want %v at least", reason, got, least)
			}
		}
	})
}

func TestRootGivesBestValueBack(t *testing.T) {
	for name, lie := range map[string]string{"worse": "1 worse", "invalid": "no rank", "none": ""} {
		t.Run(name, func(t *testing.T) {
			withStrict(t, nil, func(t *testing.T, s *strict) {
				const key, best = "/rank/key", "5 good"
				putValue(t, s.client, key, best)
				time.Sleep(10 * time.Second)
				id := value(key, best).ID()
				root := s.Index(s.Oracle().Root(id.Key).Host().ID())
				var stored atomic.Value
				liar(func(_ *pastry.Message, call *pb.RecordCall) (*pb.RecordReply, error) {
					if rs := call.GetStore().GetRecords(); len(rs) == 1 {
						stored.Store(string(rs[0].Data))
					}
					if call.GetFind() == nil || lie == "" {
						return findReply(nil), nil
					}
					return findReply(nil, value(key, lie)), nil
				}).at(s.Node((root + 1) % strictMembers))
				got, err := s.client.GetValue(within(t, 20*time.Second), key, pastry.Quorum(0))
				if err != nil || string(got) != best {
					t.Errorf("got %q, %v, want %q", got, err, best)
				}
				time.Sleep(10 * time.Second)
				if got := stored.Load(); got != best {
					t.Errorf("the replica with another value was given %v, want %q", got, best)
				}
			})
		})
	}
}

// What a root says of a store becomes of Provide, and what passes is tried again.
func TestProvideOutcomes(t *testing.T) {
	const ok, elsewhere, few = pb.RecordOutcome_RECORD_OUTCOME_OK, pb.RecordOutcome_RECORD_OUTCOME_ELSEWHERE, pb.RecordOutcome_RECORD_OUTCOME_TOO_FEW
	failing := errors.New("the application fails")
	always := func(o ...pb.RecordOutcome) func(int64) (*pb.RecordReply, error) {
		return func(int64) (*pb.RecordReply, error) { return outcomeReply(o...), nil }
	}
	tests := []struct {
		name   string
		answer func(try int64) (*pb.RecordReply, error)
		want   []error // all of them; nil: it is stored
		tries  int64   // at least; 1 is exactly 1
	}{
		{"stored", always(ok), nil, 1},
		{"fails once", func(try int64) (*pb.RecordReply, error) {
			if try == 1 {
				return nil, failing
			}
			return outcomeReply(ok), nil
		}, nil, 2},
		{"elsewhere twice", func(try int64) (*pb.RecordReply, error) {
			if try <= 2 {
				return outcomeReply(elsewhere), nil
			}
			return outcomeReply(ok), nil
		}, nil, 3},
		{"fails", func(int64) (*pb.RecordReply, error) { return nil, failing }, []error{pastry.ErrNotStored}, 2},
		{"elsewhere", always(elsewhere), []error{pastry.ErrNotStored}, 2},
		{"too few", always(few), []error{pastry.ErrNotStored}, 2},
		{"full", always(pb.RecordOutcome_RECORD_OUTCOME_FULL), []error{pastry.ErrNotStored, pastry.ErrRecordFull}, 1},
		{"expired", always(pb.RecordOutcome_RECORD_OUTCOME_EXPIRED), []error{pastry.ErrNotStored, pastry.ErrRecordExpired}, 1},
		{"stale", always(pb.RecordOutcome_RECORD_OUTCOME_STALE), []error{pastry.ErrNotStored, pastry.ErrRecordStale}, 1},
		{"unknown", always(99), []error{pastry.ErrNotStored}, 1},
		{"no outcome", always(), []error{pastry.ErrMalformed}, 1},
		{"two outcomes", always(ok, ok), []error{pastry.ErrMalformed}, 1},
		{"another body", func(int64) (*pb.RecordReply, error) { return findReply(nil), nil }, []error{pastry.ErrMalformed}, 1},
	}
	withServant(t, func(t *testing.T, c *testutil.Cluster, _ *metered) {
		for _, tt := range tests {
			var tries atomic.Int64
			liar(func(*pastry.Message, *pb.RecordCall) (*pb.RecordReply, error) { return tt.answer(tries.Add(1)) }).at(c.Node(0))
			err := c.Node(1).Provide(within(t, time.Minute), pastry.ContentCID(t, tt.name), true)
			if (err == nil) != (tt.want == nil) {
				t.Errorf("%s: got %v, want an error: %t", tt.name, err, tt.want != nil)
			}
			for _, want := range tt.want {
				if !errors.Is(err, want) {
					t.Errorf("%s: got %v, want an error that wraps %v", tt.name, err, want)
				}
			}
			if got := tries.Load(); got < tt.tries || tt.tries == 1 && got != 1 || got > 20 {
				t.Errorf("%s: %d tries, want %d", tt.name, got, tt.tries)
			}
			if errors.Is(err, routing.ErrNotFound) {
				t.Errorf("%s: got %v", tt.name, err)
			}
		}
	})
}
