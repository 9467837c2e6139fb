package testutil

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	"github.com/multiformats/go-multihash"
)

// check is one run of a case: its network, and what becomes of it.
type check struct {
	Case
	subject Subject
	ctx     context.Context // ends when the case has taken too long
	label   string          // of the goroutines that the case starts, unlike any other
	done    chan struct{}   // closed when the case has ended and the network is closed

	members []Member // those of Case.routers first
	ranks   []*ranks // the validators of the members
	hosts   []host.Host
	named   atomic.Int64 // CIDs and keys given out

	mu      sync.Mutex // guards what follows
	outcome Outcome    // empty while the case passes
	reason  string
}

var checks atomic.Int64 // so many were made

func newCheck(ctx context.Context, c Case, s Subject) *check {
	return &check{
		Case:    c,
		subject: s,
		ctx:     ctx,
		label:   fmt.Sprintf("%s %d", c.Name, checks.Add(1)),
		done:    make(chan struct{}),
	}
}

// start runs the case in a goroutine of its own.
func (k *check) start() {
	go func() {
		defer close(k.done)
		pprof.SetGoroutineLabels(pprof.WithLabels(k.ctx, pprof.Labels(caseLabel, k.label)))
		defer k.closeAll()
		defer k.recoverPanic()
		for range k.routers {
			k.join(RouterConfig{})
		}
		k.run(k)
	}()
}

func (k *check) recoverPanic() {
	if p := recover(); p != nil {
		stack := make([]byte, 4096)
		stack = stack[:runtime.Stack(stack, false)]
		k.report(Failed, fmt.Sprintf("panic: %v\n%s", p, stack))
	}
}

// report notes an outcome. The first counts.
func (k *check) report(o Outcome, reason string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.outcome == "" {
		k.outcome, k.reason = o, reason
	}
}

func (k *check) result() Result {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.outcome == "" {
		return Result{Case: k.Case, Outcome: Passed}
	}
	return Result{Case: k.Case, Outcome: k.outcome, Reason: k.reason}
}

// errorf fails the case, which goes on.
func (k *check) errorf(format string, args ...any) { k.report(Failed, fmt.Sprintf(format, args...)) }

// fatalf fails the case and ends it. Only the goroutine of the case may call it.
func (k *check) fatalf(format string, args ...any) {
	k.errorf(format, args...)
	runtime.Goexit()
}

// skipf ends the case, which cannot be judged.
func (k *check) skipf(format string, args ...any) {
	k.report(Skipped, fmt.Sprintf(format, args...))
	runtime.Goexit()
}

// must ends the case if err is not nil.
func (k *check) must(what string, err error) {
	if err != nil {
		k.fatalf("%s: got %q, want no error", what, err)
	}
}

// is fails the case unless err is the very one wanted.
func (k *check) is(what string, err, want error) {
	if err != want {
		k.errorf("%s: got %s, want %q itself", what, quote(err), want)
	}
}

func quote(err error) string {
	if err == nil {
		return "no error"
	}
	return fmt.Sprintf("%q", err)
}

// fails fails the case if err is nil.
func (k *check) fails(what string, err error) {
	if err == nil {
		k.errorf("%s: got no error", what)
	}
}

// ends fails the case unless err says that the context had ended. A search that
// was not made may not say that there is nothing.
func (k *check) ends(what string, err error) {
	if !errors.Is(err, context.Canceled) {
		k.errorf("%s with a context that has ended: got %s, want %q", what, quote(err), context.Canceled)
	}
}

// newHost returns a host without a router.
func (k *check) newHost(opts ...libp2p.Option) host.Host {
	h, err := k.subject.Host(opts...)
	if err != nil {
		k.fatalf("making a host: %v", err)
	}
	k.hosts = append(k.hosts, h)
	return h
}

// newRouter returns a router that is in no network.
func (k *check) newRouter(h host.Host, cfg RouterConfig) Member {
	v := new(ranks)
	cfg.Namespace, cfg.Validator = ranksNamespace, v
	r, err := k.subject.Router(h, cfg)
	if unsupported(err) {
		k.skipf("%v", err)
	}
	if err != nil {
		k.fatalf("making a router: %v", err)
	}
	m := Member{Routing: r, Host: h}
	k.members, k.ranks = append(k.members, m), append(k.ranks, v)
	return m
}

// join adds a router to the network.
func (k *check) join(cfg RouterConfig) Member { return k.joinOn(k.newHost(), cfg) }

func (k *check) joinOn(h host.Host, cfg RouterConfig) Member {
	others := k.members[:len(k.members):len(k.members)]
	m := k.newRouter(h, cfg)
	if err := k.subject.Join(k.ctx, m, others); err != nil {
		k.fatalf("joining: %v", err)
	}
	return m
}

// client adds a router in client mode, or skips the case where there is none.
func (k *check) client() Member { return k.join(RouterConfig{Client: true}) }

// closeAll closes the routers and the hosts, those that are closed too.
func (k *check) closeAll() {
	for _, m := range k.members {
		if c, ok := m.Routing.(io.Closer); ok {
			_ = c.Close()
		}
	}
	var wg sync.WaitGroup
	for _, h := range k.hosts {
		wg.Go(func() { _ = h.Close() })
	}
	wg.Wait()
}

// spawn runs f in a goroutine and returns a channel that is closed when it ends.
// f may not call fatalf.
func (k *check) spawn(f func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer k.recoverPanic()
		f()
	}()
	return done
}

// within ends the case unless done is closed in time.
func (k *check) within(d time.Duration, what string, done <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		k.fatalf("%s: does not end", what)
	}
}

// promptly runs f, and ends the case unless f returns without delay.
func (k *check) promptly(what string, f func()) { k.within(prompt, what, k.spawn(f)) }

// poll is the time between two looks at what is to happen.
const poll = 5 * time.Millisecond

// eventually waits for what takes the network: until f, which is called again and
// again, returns nil. It ends the case with the last error if that takes too long.
func (k *check) eventually(f func() error) { k.until(patience, f) }

func (k *check) until(d time.Duration, f func() error) {
	timer, tick := time.NewTimer(d), time.NewTicker(poll)
	defer timer.Stop()
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-timer.C:
			k.fatalf("%v", err)
		}
	}
}

// number returns a new number of what the case makes up.
func (k *check) number() string {
	return fmt.Sprintf("%s %d", k.label, k.named.Add(1))
}

// cid returns a CID that nobody provides.
func (k *check) cid() cid.Cid { return cid.NewCidV1(cid.Raw, k.multihash()) }

func (k *check) multihash() multihash.Multihash {
	mh, err := multihash.Sum([]byte(k.number()), multihash.SHA2_256, -1)
	k.must("making a multihash", err)
	return mh
}

// stranger returns the ID of a peer that is not there.
func (k *check) stranger() peer.ID {
	sum := sha256.Sum256([]byte(k.number()))
	mh, err := multihash.Encode(sum[:], multihash.SHA2_256)
	k.must("making a peer ID", err)
	return peer.ID(mh)
}

// collect reads a channel until it is closed, and ends the case when it stays
// open.
func collect[T any](k *check, what string, ch <-chan T) []T {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	var all []T
	for {
		select {
		case v, ok := <-ch:
			if !ok {
				return all
			}
			all = append(all, v)
		case <-timer.C:
			k.fatalf("%s: the channel is not closed", what)
		}
	}
}

// cancelled returns a context that has ended.
func (k *check) cancelled() context.Context {
	ctx, cancel := context.WithCancel(k.ctx)
	cancel()
	return ctx
}

var _ routing.Routing = Member{}
