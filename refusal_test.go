package pastry_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/libp2p/go-libp2p"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/testutil"
)

// strict is a ring of members with limits and a validator of ranks, and a client
// that has neither: it sends what it should not.
type strict struct {
	*testutil.Cluster
	metered
	client *pastry.Node
}

const (
	strictMembers = 4
	strictRecord  = 2 << 10 // bytes
	strictAddrs   = 3
)

// withStrict runs f on such a ring. edit changes the addresses of the client, nil
// does not.
func withStrict(t *testing.T, edit func([]ma.Multiaddr) []ma.Multiaddr, f func(t *testing.T, s *strict)) {
	t.Helper()
	s := new(strict)
	cfg := seeded(71, strictMembers)
	cfg.Options = func(i int) []pastry.Option {
		if i < strictMembers {
			return []pastry.Option{s.option(i), withRanks, pastry.WithRecordLimits(pastry.RecordLimits{Record: strictRecord, Addrs: strictAddrs})}
		}
		return []pastry.Option{s.option(i), pastry.WithMode(pastry.ModeClient), pastry.WithRecordLimits(pastry.RecordLimits{Record: -1, Addrs: -1}),
			pastry.WithNamespacedValidator("rank", lenient{}), pastry.WithNamespacedValidator("nobody", lenient{})}
	}
	withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
		var extra []libp2p.Option
		if edit != nil {
			extra = append(extra, libp2p.AddrsFactory(edit))
		}
		i, err := c.Add(extra...)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Join(within(t, 30*time.Second), i); err != nil {
			t.Fatal(err)
		}
		s.Cluster, s.client = c, c.Node(i)
		f(t, s)
	})
}

// refused returns how many records node i has refused for a reason.
func (s *strict) refused(t *testing.T, i int, reason string) float64 {
	t.Helper()
	return s.value(t, i, "record_refusals_total", reason)
}

// held returns what the members hold.
func (s *strict) held() [strictMembers][]records.Entry {
	var held [strictMembers][]records.Entry
	for i := range held {
		held[i] = pastry.HeldEntries(s.Node(i))
	}
	return held
}

// bad is a record that members must refuse.
type bad struct {
	record *records.Record
	peers  [][]byte // nil: those that the client would send
}

// Each record that should not be stored is refused with an error that says why,
// whoever is asked to store it, and is counted.
func TestRecordsAreRefused(t *testing.T) {
	content := pastry.ContentCID(t, "content")
	long := strings.Repeat("k", records.MaxName)
	tests := []struct {
		name   string
		make   func(t *testing.T, s *strict) bad
		want   error
		reason string
	}{
		{"garbage", func(t *testing.T, s *strict) bad {
			r := signerOf(s.client.Host()).provider(t, content, nil)
			r.Data = []byte("garbage")
			return bad{record: r}
		}, pastry.ErrRecordForged, "forged"},
		{"damaged", func(t *testing.T, s *strict) bad {
			r := signerOf(s.client.Host()).provider(t, content, nil)
			r.Data = bytes.Clone(r.Data)
			r.Data[len(r.Data)-1] ^= 1
			return bad{record: r}
		}, pastry.ErrRecordForged, "forged"},
		{"signed by another", func(t *testing.T, s *strict) bad {
			return bad{record: signerOf(s.client.Host()).provider(t, content, func(p *records.Provider) { p.Peer = s.Node(0).Host().ID() })}
		}, pastry.ErrRecordForged, "forged"},
		{"another kind of record", func(t *testing.T, s *strict) bad {
			r := signerOf(s.client.Host()).provider(t, content, nil)
			r.Data = signerOf(s.client.Host()).addresses(t, somewhere)
			return bad{record: r}
		}, pastry.ErrRecordForged, "forged"},
		{"from the future", func(t *testing.T, s *strict) bad {
			return bad{record: signerOf(s.client.Host()).provider(t, content, func(p *records.Provider) { p.Seq += uint64(25 * time.Hour) })}
		}, pastry.ErrRecordForged, "forged"},
		{"replayed", func(t *testing.T, s *strict) bad {
			old := signerOf(s.client.Host()).provider(t, content, nil)
			time.Sleep(time.Second)
			provide(t, s.client, content)
			return bad{record: old}
		}, pastry.ErrRecordStale, "stale"},
		{"expired", func(t *testing.T, s *strict) bad {
			return bad{record: signerOf(s.client.Host()).provider(t, content, func(p *records.Provider) { p.Expires = time.Now().Add(-time.Second) })}
		}, pastry.ErrRecordExpired, "expired"},
		{"signed long ago", func(t *testing.T, s *strict) bad {
			return bad{record: signerOf(s.client.Host()).provider(t, content, func(p *records.Provider) { p.Seq -= uint64(49 * time.Hour) })}
		}, pastry.ErrRecordExpired, "expired"},
		{"without addresses", func(t *testing.T, s *strict) bad {
			stranger := newSigner(t, "stranger")
			return bad{stranger.provider(t, content, nil), [][]byte{stranger.addresses(t)}}
		}, pastry.ErrRecordUnaddressed, "unaddressed"},
		{"with the addresses of another", func(t *testing.T, s *strict) bad {
			stranger := newSigner(t, "stranger")
			return bad{stranger.provider(t, content, nil), [][]byte{newSigner(t, "another").addresses(t, somewhere)}}
		}, pastry.ErrRecordUnaddressed, "unaddressed"},
		{"with forged addresses", func(t *testing.T, s *strict) bad {
			stranger, sealed := newSigner(t, "stranger"), newSigner(t, "stranger").addresses(t, somewhere)
			sealed[len(sealed)-1] ^= 1
			return bad{stranger.provider(t, content, nil), [][]byte{sealed, nil}}
		}, pastry.ErrRecordUnaddressed, "unaddressed"},
		{"with too many addresses", func(t *testing.T, s *strict) bad {
			stranger := newSigner(t, "stranger")
			many := stranger.addresses(t, somewhere+"1", somewhere+"2", somewhere+"3", somewhere)
			return bad{stranger.provider(t, content, nil), [][]byte{many}}
		}, pastry.ErrRecordTooLarge, "too_large"},

		{"worse value", func(t *testing.T, s *strict) bad {
			putValue(t, s.client, "/rank/worse", "2 good")
			return bad{record: value("/rank/worse", "1 worse")}
		}, pastry.ErrRecordStale, "stale"},
		{"value outside its validator", func(t *testing.T, s *strict) bad {
			return bad{record: value("/rank/invalid", "no rank")}
		}, pastry.ErrRecordInvalid, "invalid"},
		{"value without a validator", func(t *testing.T, s *strict) bad {
			return bad{record: value("/nobody/key", "value")}
		}, pastry.ErrRecordInvalid, "invalid"},
		{"value that is too large", func(t *testing.T, s *strict) bad {
			return bad{record: value("/rank/large", "1 "+strings.Repeat("x", strictRecord))}
		}, pastry.ErrRecordTooLarge, "too_large"},
		{"value that has expired", func(t *testing.T, s *strict) bad {
			r := value("/rank/expired", "1 late")
			r.Expires = time.Now()
			return bad{record: r}
		}, pastry.ErrRecordExpired, "expired"},
		{"value with a long key", func(t *testing.T, s *strict) bad {
			return bad{record: value("/rank/"+long, "1 value")}
		}, pastry.ErrRecordForged, "forged"},

		{"peer record of another", func(t *testing.T, s *strict) bad {
			r := peerRecord(newSigner(t, "stranger"), newSigner(t, "stranger").addresses(t, somewhere))
			r.Data[len(r.Data)-1] ^= 1
			return bad{record: r}
		}, pastry.ErrRecordForged, "forged"},
		{"peer record without addresses", func(t *testing.T, s *strict) bad {
			return bad{record: peerRecord(newSigner(t, "stranger"), newSigner(t, "stranger").addresses(t))}
		}, pastry.ErrRecordUnaddressed, "unaddressed"},
		{"peer record with too many", func(t *testing.T, s *strict) bad {
			many := newSigner(t, "stranger").addresses(t, somewhere+"1", somewhere+"2", somewhere+"3", somewhere)
			return bad{record: peerRecord(newSigner(t, "stranger"), many)}
		}, pastry.ErrRecordTooLarge, "too_large"},
		{"older peer record", func(t *testing.T, s *strict) bad {
			old := signerOf(s.client.Host()).addresses(t, somewhere)
			time.Sleep(time.Second)
			if err := pastry.Publish(t.Context(), s.client); err != nil {
				t.Fatal(err)
			}
			return bad{record: peerRecord(signerOf(s.client.Host()), old)}
		}, pastry.ErrRecordStale, "stale"},
	}
	withStrict(t, nil, func(t *testing.T, s *strict) {
		for _, tt := range tests {
			b := tt.make(t, s)
			time.Sleep(10 * time.Second) // for what is under way
			before := s.held()
			s.checkRefused(t, tt.name, b, tt.want, tt.reason)
			if diff := cmp.Diff(s.held(), before, cmpopts.EquateComparable(records.Entry{})); diff != "" {
				t.Errorf("%s: the members hold something else (-got +want):\n%s", tt.name, diff)
			}
		}
	})
}

// checkRefused has the client store a record as it would its own, routes it to
// the root, and sends it straight to each member.
func (s *strict) checkRefused(t *testing.T, name string, b bad, want error, reason string) {
	t.Helper()
	key := b.record.ID().Key
	root := s.Index(s.Oracle().Root(key).Host().ID())
	counted := func(i int, what string, f func()) {
		t.Helper()
		before := s.refused(t, i, reason)
		f()
		if got := s.refused(t, i, reason) - before; got < 1 {
			t.Errorf("%s, %s: node %d has not counted that it is %s", name, what, i, reason)
		}
	}
	if b.peers == nil {
		counted(root, "stored", func() {
			err := pastry.StoreAtRoot(within(t, 20*time.Second), s.client, b.record)
			if !errors.Is(err, want) || !errors.Is(err, pastry.ErrNotStored) {
				t.Errorf("%s: got %v, want an error that wraps %v and %v", name, err, want, pastry.ErrNotStored)
			}
		})
	}
	outcome := func(what string, reply *pb.RecordReply, err error) {
		t.Helper()
		if got := reply.GetStore().GetOutcomes(); err != nil || len(got) != 1 || got[0] != records.Outcome(want) {
			t.Errorf("%s, %s: got %v, %v, want %v", name, what, got, err, records.Outcome(want))
		}
	}
	call := storeCall([]*records.Record{b.record}, b.peers...)
	if b.peers == nil {
		call = storeCall([]*records.Record{b.record}, signerOf(s.client.Host()).addresses(t, somewhere))
	}
	counted(root, "routed", func() {
		reply, err := pastry.AskRoot(within(t, 20*time.Second), s.client, key, call)
		outcome("routed", reply, err)
	})
	for i := range strictMembers {
		counted(i, "sent", func() {
			reply, err := pastry.AskMember(within(t, 20*time.Second), s.client, s.Node(i).Host().ID(), call)
			outcome("sent", reply, err)
		})
	}
}

func putValue(t *testing.T, n *pastry.Node, key, data string) {
	t.Helper()
	if err := n.PutValue(within(t, 20*time.Second), key, []byte(data)); err != nil {
		t.Fatalf("PutValue of %q: %v", data, err)
	}
}

func peerRecord(s signer, sealed []byte) *records.Record {
	return &records.Record{Type: records.TypePeer, Name: []byte(s.id), Peer: s.id, Data: sealed}
}

// The caller of Provide and PutValue learns why a record of its own is refused,
// by this node or by the members.
func TestCallerLearnsWhy(t *testing.T) {
	content := pastry.ContentCID(t, "content")
	many := func([]ma.Multiaddr) (as []ma.Multiaddr) {
		for _, port := range []string{"1", "2", "3", "4"} {
			as = append(as, ma.StringCast("/ip4/192.0.2.1/tcp/"+port))
		}
		return as
	}
	for _, tt := range []struct {
		name   string
		addrs  func([]ma.Multiaddr) []ma.Multiaddr // of the client
		call   func(t *testing.T, s *strict) error
		want   error
		reason string
		here   bool // refused by the client itself
	}{
		{"Provide with too many addresses", many, func(t *testing.T, s *strict) error {
			return s.client.Provide(t.Context(), content, true)
		}, pastry.ErrRecordTooLarge, "too_large", false},
		{"Provide without addresses", func([]ma.Multiaddr) []ma.Multiaddr { return nil }, func(t *testing.T, s *strict) error {
			return s.client.Provide(t.Context(), content, true)
		}, pastry.ErrRecordUnaddressed, "unaddressed", true},
		{"PutValue of what members refuse", nil, func(t *testing.T, s *strict) error {
			return s.client.PutValue(t.Context(), "/rank/key", []byte("no rank"))
		}, pastry.ErrRecordInvalid, "invalid", false},
		{"PutValue of a large value", nil, func(t *testing.T, s *strict) error {
			return s.client.PutValue(t.Context(), "/rank/key", bytes.Repeat([]byte{'1'}, strictRecord+1))
		}, pastry.ErrRecordTooLarge, "too_large", false},
		{"PutValue of a worse value", nil, func(t *testing.T, s *strict) error {
			putValue(t, s.Node(0), "/rank/key", "2 better")
			return s.client.PutValue(t.Context(), "/rank/key", []byte("1 worse"))
		}, pastry.ErrRecordStale, "stale", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			withStrict(t, tt.addrs, func(t *testing.T, s *strict) {
				if err := tt.call(t, s); !errors.Is(err, tt.want) || !errors.Is(err, pastry.ErrNotStored) {
					t.Errorf("got %v, want an error that wraps %v and %v", err, tt.want, pastry.ErrNotStored)
				}
				total := 0.0
				for i := range strictMembers + 1 {
					if (i == strictMembers) == tt.here {
						total += s.refused(t, i, tt.reason)
					}
				}
				if total == 0 {
					t.Errorf("nobody has counted that the record is %s", tt.reason)
				}
			})
		})
	}
}

// A member refuses by itself what it puts.
func TestMemberRefusesItsOwnValues(t *testing.T) {
	withStrict(t, nil, func(t *testing.T, s *strict) {
		putValue(t, s.Node(1), "/rank/key", "2 better")
		time.Sleep(time.Second)
		for _, tt := range []struct {
			name, data string
			want       error
			reason     string
		}{
			{"worse", "1 worse", pastry.ErrRecordStale, "stale"},
			{"invalid", "no rank", pastry.ErrRecordInvalid, "invalid"},
			{"too large", "3 " + strings.Repeat("x", strictRecord), pastry.ErrRecordTooLarge, "too_large"},
		} {
			before := s.refused(t, 0, tt.reason)
			if err := s.Node(0).PutValue(within(t, 20*time.Second), "/rank/key", []byte(tt.data)); !errors.Is(err, tt.want) {
				t.Errorf("%s: got %v, want an error that wraps %v", tt.name, err, tt.want)
			}
			if s.refused(t, 0, tt.reason) == before {
				t.Errorf("%s: not counted", tt.name)
			}
		}
		if got, err := s.client.GetValue(within(t, 20*time.Second), "/rank/key"); err != nil || string(got) != "2 better" {
			t.Errorf("got %q, %v, want the better value", got, err)
		}
	})
}
