package pastry_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/testutil"
)

// Deriving a key takes a while; the tests share two.
var (
	rightPassphrase = sync.OnceValue(func() pastry.Credentials { return pastry.Passphrase("open sesame") })
	wrongPassphrase = sync.OnceValue(func() pastry.Credentials { return pastry.Passphrase("open barley") })
)

func TestAdmission(t *testing.T) {
	const nodes = 5
	tests := []struct {
		name    string
		options []pastry.Option // of the newcomer
		admit   bool
	}{
		{"right passphrase", []pastry.Option{pastry.WithCredentials(rightPassphrase())}, true},
		{"wrong passphrase", []pastry.Option{pastry.WithCredentials(wrongPassphrase())}, false},
		{"no credentials", nil, false},
		{"credentials of another kind", []pastry.Option{pastry.WithCredentials(allowAll{})}, false},
		{"client with the right passphrase", []pastry.Option{pastry.WithCredentials(rightPassphrase()), pastry.WithMode(pastry.ModeClient)}, true},
		{"client without credentials", []pastry.Option{pastry.WithMode(pastry.ModeClient)}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var m metered
			cfg := seeded(71, nodes)
			cfg.Options = func(i int) []pastry.Option {
				if i == nodes {
					return append(tt.options, m.option(i))
				}
				return []pastry.Option{pastry.WithCredentials(rightPassphrase()), m.option(i)}
			}
			withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
				var faults []<-chan any
				for i := range nodes {
					faults = append(faults, subscribe[pastry.EvtError](t, c.Node(i).Host()))
				}
				i, err := c.Add()
				if err != nil {
					t.Fatal(err)
				}
				newcomer := c.Node(i).Host().ID()
				err = c.Join(within(t, 20*time.Second), i)
				if admitted := err == nil; admitted != tt.admit {
					t.Fatalf("Join: got %v, want admission: %t", err, tt.admit)
				}
				if tt.admit {
					settle(t, c, time.Minute)
					checkRoots(t, c, 20)
					return
				}
				refused(t, &m, nodes, newcomer, faults)
				if _, err := c.Node(i).Route(within(t, 5*time.Second), "testutil", c.Node(0).ID(), make([]byte, 8)); err == nil {
					t.Error("a message of the stranger was delivered")
				}
				if got := holders(t, c, newcomer); len(got) > 0 {
					t.Errorf("nodes %v have the stranger in their tables", got)
				}
				if got := len(c.Oracle().Members()); got != nodes {
					t.Errorf("%d members, want %d", got, nodes)
				}
				if err := c.Oracle().CheckLeafSets(t.Context()); err != nil {
					t.Error(err)
				}
				checkRoots(t, c, 20)
			})
		})
	}
}

// refused checks that some node counted and told that it refused a peer.
func refused(t *testing.T, m *metered, nodes int, p peer.ID, faults []<-chan any) {
	t.Helper()
	counted, told := 0., false
	for i := range nodes {
		counted += m.drops(t, i, pastry.DropCredential)
		for _, ev := range ready[pastry.EvtError](faults[i]) {
			told = told || ev.Peer == p && errors.Is(ev.Err, pastry.ErrCredential)
		}
	}
	if counted == 0 || !told {
		t.Errorf("refusals counted: %v, told: %t, want at least one and true", counted, told)
	}
}

// allowAll admits everybody and proves nothing.
type allowAll struct{}

func (allowAll) Prove(pastry.Binding) ([]byte, error) { return []byte("trust me"), nil }
func (allowAll) Verify(pastry.Binding, []byte) error  { return nil }

// A proof that was good once is worth nothing on another stream.
func TestReplayedProof(t *testing.T) {
	var m metered
	cfg := seeded(72, 2)
	cfg.Options = func(i int) []pastry.Option {
		return []pastry.Option{pastry.WithCredentials(rightPassphrase()), m.option(i)}
	}
	withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
		member, err := c.Network().NewHost()
		if err != nil {
			t.Fatal(err)
		}
		thief, err := c.Network().NewHost()
		if err != nil {
			t.Fatal(err)
		}
		hello := helloFrame(member)
		proof := prove(t, member, c.Node(0), hello)
		if got := m.drops(t, 0, pastry.DropCredential); got != 0 {
			t.Fatalf("%v refusals of a good proof", got)
		}

		stolen := helloFrame(thief)
		stolen.GetHello().Challenge = hello.GetHello().Challenge
		for k, again := range []struct {
			name  string
			from  host.Host
			hello *pb.Frame
			proof []byte
		}{
			{"from the same host", member, hello, proof},
			{"from another host", thief, stolen, proof},
			{"reflected", member, hello, nil},
		} {
			w := dialWire(t, again.from, c.Node(0))
			if err := w.send(again.hello); err != nil {
				t.Fatal(err)
			}
			if _, err := w.read(); err != nil {
				t.Fatal(err)
			}
			if err := w.send(proofFrame(again.proof)); err != nil {
				t.Fatal(err)
			}
			f, err := w.read()
			if err == nil {
				t.Errorf("%s: got %v, want the end of the stream", again.name, f)
			}
			if got, want := m.drops(t, 0, pastry.DropCredential), float64(k+1); got != want {
				t.Errorf("%s: %v refusals counted, want %v", again.name, got, want)
			}
		}
		checkRoots(t, c, 10)
	})
}

// prove opens a stream with a good proof, checks the node's own, and returns
// the proof.
func prove(t *testing.T, from host.Host, to *pastry.Node, hello *pb.Frame) []byte {
	t.Helper()
	w := dialWire(t, from, to)
	if err := w.send(hello); err != nil {
		t.Fatal(err)
	}
	f, err := w.read()
	if err != nil {
		t.Fatal(err)
	}
	mine := pastry.Binding{Prover: from.ID(), Verifier: to.Host().ID(), ProverChallenge: hello.GetHello().Challenge,
		VerifierChallenge: f.GetHello().GetChallenge(), Protocol: string(pastry.ProtocolID)}
	proof, err := rightPassphrase().Prove(mine)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.send(proofFrame(proof)); err != nil {
		t.Fatal(err)
	}
	if f, err = w.read(); err != nil {
		t.Fatalf("a good proof was refused: %v", err)
	}
	theirs := pastry.Binding{Prover: mine.Verifier, Verifier: mine.Prover, ProverChallenge: mine.VerifierChallenge,
		VerifierChallenge: mine.ProverChallenge, Protocol: mine.Protocol}
	if err := rightPassphrase().Verify(theirs, f.GetProof().GetProof()); err != nil {
		t.Errorf("the node's own proof: %v", err)
	}
	return proof
}
