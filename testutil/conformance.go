package testutil

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/routing"
)

// A Subject is a kind of router, any routing.Routing, which the conformance suite
// is run against. The suite makes hosts and routers by its functions, several for
// each case, and closes them: routers that have a method Close() error first.
type Subject struct {
	// Name is what tables call it.
	Name string

	// Host returns a new host that listens, and that the others can reach.
	Host func(opts ...libp2p.Option) (host.Host, error)

	// Router makes a router on a host. It is not in a network yet. An error that
	// wraps errors.ErrUnsupported says that there is no such router, and skips
	// the case.
	Router func(h host.Host, cfg RouterConfig) (routing.Routing, error)

	// Join makes m part of the network of the others, or the first of a network
	// if there are none. It returns when each of them can find the others that are
	// not clients, as far as that takes knowing them.
	Join func(ctx context.Context, m Member, others []Member) error

	// Quorum returns the option that asks for the values of n holders, at most.
	// Nil means there is none.
	Quorum func(n int) routing.Option
}

// RouterConfig is what a case needs of a router.
type RouterConfig struct {
	// Client says that the router serves nobody.
	Client bool

	// Namespace is a namespace of values, Validator the one to judge its values
	// by. Those of "pk" and "ipns" are to be there as well.
	Namespace string
	Validator record.Validator
}

// A Member is a router and the host it is on.
type Member struct {
	routing.Routing
	Host host.Host
}

// A Case is one clause of what callers of a router rely on.
type Case struct {
	// Name is a method, or what else is under test, and a clause.
	Name string

	// Checks says what holds of a router that passes.
	Checks string

	routers int // in the network, clients apart
	run     func(*check)
}

// Cases returns the cases of the suite, in the order in which they are run.
func Cases() []Case {
	return slices.Concat(provideCases, providersCases, findPeerCases, putCases, getCases, searchCases,
		freshnessCases, eventCases, bootstrapCases, closeCases, beyondCases)
}

// An Outcome is what became of a case.
type Outcome string

// The outcomes. A case is skipped where the router lacks what it is about, and
// the interface does not ask for it.
const (
	Passed  Outcome = "pass"
	Failed  Outcome = "fail"
	Skipped Outcome = "skip"
)

// A Result is the outcome of a case. Reason tells why it is not Passed.
type Result struct {
	Case    Case
	Outcome Outcome
	Reason  string
	Took    time.Duration
}

// Bounds of a case. They are generous, since nothing that passes takes long.
const (
	caseTimeout = 40 * time.Second
	caseGrace   = 5 * time.Second  // to end after that
	patience    = 10 * time.Second // for what takes the network
	prompt      = 3 * time.Second  // for what takes no network
)

// Run runs the case on new routers of the subject, alone: a panic or a hang is
// its failure. A case that hangs is left behind. It needs no testing.T, and may
// be run in a testing/synctest bubble.
func (c Case) Run(ctx context.Context, s Subject) Result {
	ctx, cancel := context.WithTimeout(ctx, caseTimeout)
	defer cancel()
	start := time.Now()
	k := newCheck(ctx, c, s)
	k.start()
	late := time.NewTimer(caseTimeout + caseGrace)
	defer late.Stop()
	select {
	case <-k.done:
	case <-late.C:
		k.report(Failed, "hangs")
	}
	r := k.result()
	r.Took = time.Since(start)
	return r
}

// Run runs all cases, one after the other, and returns what became of each. It
// ends early when ctx does.
func Run(ctx context.Context, s Subject) []Result {
	var rs []Result
	for _, c := range Cases() {
		if ctx.Err() != nil {
			break
		}
		rs = append(rs, c.Run(ctx, s))
	}
	return rs
}

// Conformance runs each case as a subtest.
func Conformance(t *testing.T, s Subject) {
	for _, c := range Cases() {
		t.Run(strings.ReplaceAll(c.Name, "/", ":"), func(t *testing.T) {
			c.Test(t, s)
		})
	}
}

// Test runs the case, and fails or skips t if the router does.
func (c Case) Test(t *testing.T, s Subject) {
	t.Helper()
	switch r := c.Run(t.Context(), s); r.Outcome {
	case Failed:
		t.Errorf("%s: %s", c.Checks, r.Reason)
	case Skipped:
		t.Skip(r.Reason)
	}
}

// unsupported reports whether an error of a Subject says that there is no such
// thing.
func unsupported(err error) bool { return errors.Is(err, errors.ErrUnsupported) }
