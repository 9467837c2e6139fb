package pastry_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/multiformats/go-multihash"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
	"github.com/secondbit/pastry/testutil"
)

// keepers is what the members of a ring say to calls to store records.
type keepers struct {
	t *testing.T

	// outcome is what becomes of a record in a call, which are numbered from 1.
	outcome func(call int, key ring.ID) pb.RecordOutcome
	reach   ring.ID // how far from the key of a call its root sees
	faulty  func(call int) (*pb.StoreReply, error)

	mu      sync.Mutex // guards what follows
	calls   int
	sent    int // records
	largest int // records in one call, in bytes
	stored  map[string]int
}

const (
	outcomeOK        = pb.RecordOutcome_RECORD_OUTCOME_OK
	outcomeElsewhere = pb.RecordOutcome_RECORD_OUTCOME_ELSEWHERE
	outcomeTooFew    = pb.RecordOutcome_RECORD_OUTCOME_TOO_FEW
	outcomeFull      = pb.RecordOutcome_RECORD_OUTCOME_FULL
)

var wholeRing = records.WholeRing.Last

func (h *keepers) answer(key ring.ID, call *pb.StoreCall) (*pb.StoreReply, error) {
	if call.Records[0].Type == pb.RecordType_RECORD_TYPE_PEER { // the client says where it is
		return &pb.StoreReply{Outcomes: []pb.RecordOutcome{outcomeOK}}, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls++
	if h.faulty != nil {
		if reply, err := h.faulty(h.calls); reply != nil || err != nil {
			return reply, err
		}
	}
	last := key.Add(h.reach).Bytes()
	reply := &pb.StoreReply{Last: last[:]}
	size := 0
	var before ring.ID
	for i, r := range call.Records {
		size += len(r.Data)
		p, err := records.OpenProvider(r.Data)
		if err != nil {
			h.t.Error(err)
			return nil, err
		}
		at := ring.FromMultihash(p.Multihash)
		if i == 0 && at != key || i > 0 && !before.Less(at) {
			h.t.Errorf("record %d of call %d is at %v, after %v; the call was routed to %v", i, h.calls, at, before, key)
		}
		before = at
		o := outcomeElsewhere
		if ring.Clockwise(key, at).Compare(h.reach) <= 0 {
			o = h.outcome(h.calls, at)
		}
		if o == outcomeOK {
			h.stored[string(p.Multihash)]++
		}
		reply.Outcomes = append(reply.Outcomes, o)
	}
	h.sent += len(call.Records)
	h.largest = max(h.largest, size)
	return reply, nil
}

// withKeepers runs f with a client of a ring whose members say what h says.
func withKeepers(t *testing.T, h *keepers, f func(t *testing.T, n *pastry.Node)) {
	t.Helper()
	h.stored = make(map[string]int)
	if h.outcome == nil {
		h.outcome = func(int, ring.ID) pb.RecordOutcome { return outcomeOK }
	}
	cfg := seeded(61, 3)
	cfg.Options = func(i int) []pastry.Option {
		opts := []pastry.Option{pastry.WithHeartbeat(10 * time.Minute)}
		if i == 2 {
			opts = append(opts, pastry.WithMode(pastry.ModeClient))
		}
		return opts
	}
	withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
		h.t = t
		pastry.AnswerStores(c.Node(0), h.answer)
		pastry.AnswerStores(c.Node(1), h.answer)
		f(t, c.Node(2))
	})
}

// A walk sends to each member about what that one sees, in batches of a bounded
// size.
func TestProvideWalk(t *testing.T) {
	const keys, walkers = 6000, 8
	for _, tt := range []struct {
		name    string
		reach   ring.ID
		calls   int     // at most
		resends float64 // records sent again, as a part of all
	}{
		{"the whole ring", wholeRing, keys*300/(256<<10) + 2*walkers, 0},
		{"a tenth of the ring", ring.FromUint64s((1<<64-1)/10, 0), 10 + keys*300/(256<<10) + 3*walkers, 0},
		{"a hundredth of the ring", ring.FromUint64s((1<<64-1)/100, 0), 100 + 4*walkers, 0.1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := &keepers{reach: tt.reach}
			withKeepers(t, h, func(t *testing.T, n *pastry.Node) {
				mhs := contents(t, "content", keys)
				if err := n.ProvideMany(within(t, time.Minute), mhs); err != nil {
					t.Fatal(err)
				}
				t.Logf("%d calls, %d records sent, %d bytes in the largest call", h.calls, h.sent, h.largest)
				if len(h.stored) != keys {
					t.Errorf("got %d stored, want %d", len(h.stored), keys)
				}
				if h.calls > tt.calls {
					t.Errorf("got %d calls, want %d at most", h.calls, tt.calls)
				}
				if limit := keys + int(tt.resends*keys); h.sent > limit {
					t.Errorf("got %d records sent, want %d at most", h.sent, limit)
				}
				if h.largest > 256<<10 {
					t.Errorf("got %d bytes in a call, want %d at most", h.largest, 256<<10)
				}
			})
		})
	}
}

// What the members say decides what a walk does next, and how its error reads.
func TestProvideWalkOutcomes(t *testing.T) {
	const keys, walkers = 400, 8
	half := ring.FromUint64s(1<<63, 0)
	always := func(o pb.RecordOutcome) func(int, ring.ID) pb.RecordOutcome {
		return func(int, ring.ID) pb.RecordOutcome { return o }
	}
	upperHalf := func(o pb.RecordOutcome) func(int, ring.ID) pb.RecordOutcome {
		return func(_ int, key ring.ID) pb.RecordOutcome {
			if key.Less(half) {
				return outcomeOK
			}
			return o
		}
	}
	lost := errors.New("lost")
	for _, tt := range []struct {
		name    string
		outcome func(call int, key ring.ID) pb.RecordOutcome
		faulty  func(call int) (*pb.StoreReply, error)
		stored  int // at least, and about
		calls   int // at most
		want    error
	}{
		{"stored", nil, nil, keys, 3 * walkers, nil},
		{"refused", upperHalf(outcomeFull), nil, keys / 3, 3 * walkers, pastry.ErrRecordFull},
		{"all refused", always(outcomeFull), nil, 0, 3 * walkers, pastry.ErrRecordFull},
		{"too few replicas", upperHalf(outcomeTooFew), nil, keys / 3, 14 * walkers, pastry.ErrNotStored},
		{"nobody will have them", always(outcomeElsewhere), nil, 0, 12 * walkers, pastry.ErrNotStored},
		{"too few replicas at first", func(call int, key ring.ID) pb.RecordOutcome {
			if call > 2*walkers || key.Less(half) {
				return outcomeOK
			}
			return outcomeTooFew
		}, nil, keys, 8 * walkers, nil},
		{"lost at first", nil, func(call int) (*pb.StoreReply, error) {
			if call <= 2*walkers {
				return nil, lost
			}
			return nil, nil
		}, keys, 8 * walkers, nil},
		{"lost", nil, func(int) (*pb.StoreReply, error) { return nil, lost }, 0, 12 * walkers, pastry.ErrNotStored},
		{"senseless replies", nil, func(int) (*pb.StoreReply, error) {
			return &pb.StoreReply{Outcomes: make([]pb.RecordOutcome, 1000), Last: []byte{1}}, nil
		}, 0, 12 * walkers, pastry.ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := &keepers{outcome: tt.outcome, faulty: tt.faulty, reach: wholeRing}
			withKeepers(t, h, func(t *testing.T, n *pastry.Node) {
				err := n.ProvideMany(within(t, 5*time.Minute), contents(t, "content", keys))
				if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
				if err != nil && !errors.Is(err, pastry.ErrNotStored) {
					t.Errorf("got %v, want ErrNotStored", err)
				}
				if len(h.stored) < tt.stored || tt.stored == 0 && len(h.stored) > 0 {
					t.Errorf("got %d stored, want %d", len(h.stored), tt.stored)
				}
				if h.calls > tt.calls {
					t.Errorf("got %d calls, want %d at most", h.calls, tt.calls)
				}
				if s := n.ProvideStats(); s.Announced+s.Failed != keys || int(s.Announced) != len(h.stored) {
					t.Errorf("got %+v, want %d announced, the others failed", s, len(h.stored))
				}
			})
		})
	}
}

// While the members are out of order, what is new stays due and no sweep counts as
// done; then all is made up for, but for what was refused, whose turn comes.
func TestProvidingWhileMembersFail(t *testing.T) {
	var mu sync.Mutex
	failing := true
	refused := contents(t, "refused", 10)
	h := &keepers{reach: wholeRing, faulty: func(int) (*pb.StoreReply, error) {
		mu.Lock()
		defer mu.Unlock()
		if failing {
			return nil, errors.New("out of order")
		}
		return nil, nil
	}}
	h.outcome = func(_ int, key ring.ID) pb.RecordOutcome {
		if slices.ContainsFunc(refused, func(mh multihash.Multihash) bool { return ring.FromMultihash(mh) == key }) {
			return outcomeFull
		}
		return outcomeOK
	}
	withKeepers(t, h, func(t *testing.T, n *pastry.Node) {
		startProviding(t, n, false, append(contents(t, "content", 60), refused...)...)
		time.Sleep(2 * time.Hour)
		s := n.ProvideStats()
		if s.Due != 70 || s.Announced != 0 || time.Since(s.LastSweep) < time.Hour {
			t.Errorf("got %+v while nothing works, want 70 due and no sweep for an hour", s)
		}
		mu.Lock()
		failing = false
		mu.Unlock()
		time.Sleep(2 * time.Hour)
		s = n.ProvideStats()
		if s.Due != 0 || len(h.stored) != 60 || time.Since(s.LastSweep) > 10*time.Minute {
			t.Errorf("got %+v, %d stored, want none due, 60 stored, and all swept", s, len(h.stored))
		}
	})
}
