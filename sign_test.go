package pastry

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

// hostSigner returns the signer of the n-th test peer.
func hostSigner(t testing.TB, n int) *signer {
	t.Helper()
	s, err := newSigner(bookPeer(t, n), bookKey(t, n))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// rsaSigner returns the signer of a peer whose ID does not hold its public key.
func rsaSigner(t testing.TB) *signer {
	t.Helper()
	key, _, err := crypto.GenerateKeyPair(crypto.RSA, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSigner(p, key)
	if err != nil {
		t.Fatal(err)
	}
	if s.pub == nil {
		t.Fatal("the peer ID of an RSA key holds it: the test does not test anything")
	}
	return s
}

func signedMessage(t testing.TB, s *signer) *Routed {
	t.Helper()
	m, err := s.sign(&Routed{ID: messageID(1), App: "app", Key: point(123), Origin: s.self, OriginID: ringID(s.self),
		Payload: []byte("payload")})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func changedBy(t testing.TB, s *signer, m *Routed, payload string) *Routed {
	t.Helper()
	changed, err := s.change(m, []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

func wantVerified(t *testing.T, m *Routed, original string, changes ...Change) {
	t.Helper()
	gotOriginal, got, err := verifyMessage(m)
	if err != nil {
		t.Fatalf("message does not verify: %v", err)
	}
	if string(gotOriginal) != original {
		t.Errorf("original payload is %q, want %q", gotOriginal, original)
	}
	if diff := cmp.Diff(got, changes); diff != "" {
		t.Errorf("changes are not as wanted (-got +want):\n%s", diff)
	}
}

func wantForged(t *testing.T, what string, m *Routed) {
	t.Helper()
	if _, _, err := verifyMessage(m); !errors.Is(err, ErrForged) {
		t.Errorf("%s: error is %v, want %v", what, err, ErrForged)
	}
}

func TestSignMessage(t *testing.T) {
	for name, s := range map[string]*signer{"Ed25519": hostSigner(t, 1), "RSA": rsaSigner(t)} {
		t.Run(name, func(t *testing.T) { wantVerified(t, signedMessage(t, s), "") })
	}
}

// TestSignLeavesTheMessageAlone since messages are shared once they are emitted.
func TestSignLeavesTheMessageAlone(t *testing.T) {
	s := hostSigner(t, 1)
	m := &Routed{ID: messageID(1), Origin: s.self}
	if _, err := s.sign(m); err != nil || m.Auth != nil {
		t.Errorf("after signing (%v) the message has %d bytes of signature, want a new message", err, len(m.Auth))
	}
	signed := signedMessage(t, s)
	was := bytes.Clone(signed.Auth)
	changedBy(t, hostSigner(t, 2), signed, "changed")
	if !bytes.Equal(signed.Auth, was) || string(signed.Payload) != "payload" {
		t.Error("a change changed the message that came in, want a new one")
	}
}

// TestEveryFieldIsSigned changes one field after another, with and without a
// change of the payload on the way.
func TestEveryFieldIsSigned(t *testing.T) {
	origin := hostSigner(t, 1)
	for _, m := range []*Routed{signedMessage(t, origin), changedBy(t, hostSigner(t, 2), signedMessage(t, origin), "changed")} {
		for name, change := range map[string]func(*Routed){
			"id":            func(m *Routed) { m.ID[15]++ },
			"app":           func(m *Routed) { m.App = "apq" },
			"key":           func(m *Routed) { m.Key = m.Key.Add(ring.FromUint64s(0, 1)) },
			"origin":        func(m *Routed) { m.Origin = bookPeer(t, 3) },
			"direct":        func(m *Routed) { m.Direct = !m.Direct },
			"replicas":      func(m *Routed) { m.Replicas += 2 },
			"coordinate":    func(m *Routed) { m.Replicas, m.Coord = 2, append(slices.Clone(m.Coord), 1) },
			"payload":       func(m *Routed) { m.Payload = append([]byte("x"), m.Payload...) },
			"empty payload": func(m *Routed) { m.Payload = nil },
			"no signature":  func(m *Routed) { m.Auth = nil },
			"cut":           func(m *Routed) { m.Auth = m.Auth[:len(m.Auth)-1] },
			"bit":           func(m *Routed) { m.Auth = bytes.Clone(m.Auth); m.Auth[10] ^= 1 },
			"field border":  func(m *Routed) { m.App, m.Payload = "", append([]byte(m.App), m.Payload...) },
		} {
			forged := *m
			change(&forged)
			wantForged(t, name, &forged)
		}
	}
}

// TestChain has two nodes on the way change the payload: the deliverer sees what
// the origin sent and what each made of it.
func TestChain(t *testing.T) {
	first, second := hostSigner(t, 2), rsaSigner(t)
	m := changedBy(t, second, changedBy(t, first, signedMessage(t, hostSigner(t, 1)), "first"), "second")
	if string(m.Payload) != "second" {
		t.Errorf("payload is %q, want the last change", m.Payload)
	}
	wantVerified(t, m, "payload", Change{By: first.self, Payload: []byte("first")}, Change{By: second.self, Payload: []byte("second")})
}

// TestChainCannotBeTamperedWith leaves out, reorders, repeats and replaces the
// changes of a message.
func TestChainCannotBeTamperedWith(t *testing.T) {
	m := signedMessage(t, hostSigner(t, 1))
	for i := range 3 {
		m = changedBy(t, hostSigner(t, 2+i), m, fmt.Sprint("change ", i))
	}
	for name, change := range map[string]func(m *Routed, a *pb.OriginAuth){
		"first left out":     func(m *Routed, a *pb.OriginAuth) { a.Changes = a.Changes[1:] },
		"middle left out":    func(m *Routed, a *pb.OriginAuth) { a.Changes = append(a.Changes[:1:1], a.Changes[2]) },
		"last left out":      func(m *Routed, a *pb.OriginAuth) { a.Changes = a.Changes[:2] },
		"all left out":       func(m *Routed, a *pb.OriginAuth) { a.Changes = nil },
		"reordered":          func(m *Routed, a *pb.OriginAuth) { a.Changes[0], a.Changes[1] = a.Changes[1], a.Changes[0] },
		"repeated":           func(m *Routed, a *pb.OriginAuth) { a.Changes = append(a.Changes, a.Changes[2]) },
		"another author":     func(m *Routed, a *pb.OriginAuth) { a.Changes[1].Peer = []byte(bookPeer(t, 9)) },
		"no author":          func(m *Routed, a *pb.OriginAuth) { a.Changes[1].Peer = nil },
		"another payload":    func(m *Routed, a *pb.OriginAuth) { a.Changes[1].Payload = []byte("x") },
		"another original":   func(m *Routed, a *pb.OriginAuth) { a.OriginalPayload = []byte("x") },
		"another final":      func(m *Routed, a *pb.OriginAuth) { m.Payload = []byte("x") },
		"foreign public key": func(m *Routed, a *pb.OriginAuth) { a.Signature = a.Changes[0].Signature },
	} {
		t.Run(name, func(t *testing.T) {
			var auth pb.OriginAuth
			if err := proto.Unmarshal(m.Auth, &auth); err != nil {
				t.Fatal(err)
			}
			forged := *m
			change(&forged, &auth)
			var err error
			if forged.Auth, err = proto.Marshal(&auth); err != nil {
				t.Fatal(err)
			}
			wantForged(t, name, &forged)
		})
	}
	// The last change alone can be taken back, with the payload it was made on:
	// what is left is what the node before sent.
	var auth pb.OriginAuth
	if err := proto.Unmarshal(m.Auth, &auth); err != nil {
		t.Fatal(err)
	}
	before := *m
	before.Payload, auth.Changes = auth.Changes[1].Payload, auth.Changes[:2]
	before.Auth, _ = proto.Marshal(&auth)
	if _, changes, err := verifyMessage(&before); err != nil || len(changes) != 2 {
		t.Errorf("the message before the last change has %d changes and error %v, want 2", len(changes), err)
	}
}

// TestPublicKeyThatDoesNotFit has a peer whose ID hides its key come with the
// key of another.
func TestPublicKeyThatDoesNotFit(t *testing.T) {
	honest, liar := rsaSigner(t), rsaSigner(t)
	m := signedMessage(t, &signer{self: honest.self, key: liar.key, pub: liar.pub})
	wantForged(t, "another's key", m)
	wantForged(t, "no key", signedMessage(t, &signer{self: honest.self, key: honest.key}))
	wantForged(t, "not a key", signedMessage(t, &signer{self: honest.self, key: honest.key, pub: []byte("key")}))
}

// TestManyChanges is refused before much memory is spent on it.
func TestManyChanges(t *testing.T) {
	m := signedMessage(t, hostSigner(t, 1))
	m.Auth = append(bytes.Clone(m.Auth), bytes.Repeat([]byte{changesField<<3 | 2, 0}, 500_000)...)
	allocs := testing.AllocsPerRun(1, func() { wantForged(t, "half a million changes", m) })
	if allocs > 1000 {
		t.Errorf("a message of many changes costs %g allocations", allocs)
	}
	if _, err := hostSigner(t, 2).change(m, nil); !errors.Is(err, ErrForged) {
		t.Errorf("change of such a message: error is %v, want %v", err, ErrForged)
	}
}

func TestSignAnswer(t *testing.T) {
	for name, s := range map[string]*signer{"Ed25519": hostSigner(t, 1), "RSA": rsaSigner(t)} {
		t.Run(name, func(t *testing.T) {
			a := &Answer{ID: messageID(1), Origin: bookPeer(t, 2), Root: s.self, Code: CodeOK, Payload: []byte("reply")}
			var err error
			if a.Auth, err = s.signAnswer(a); err != nil {
				t.Fatal(err)
			}
			if err := verifyAnswer(a); err != nil {
				t.Fatalf("answer does not verify: %v", err)
			}
			for field, change := range map[string]func(*Answer){
				"id":           func(a *Answer) { a.ID[0]++ },
				"origin":       func(a *Answer) { a.Origin = bookPeer(t, 3) },
				"root":         func(a *Answer) { a.Root = bookPeer(t, 3) },
				"code":         func(a *Answer) { a.Code = CodeAppError },
				"payload":      func(a *Answer) { a.Payload = []byte("lie") },
				"no signature": func(a *Answer) { a.Auth = nil },
				"nonsense":     func(a *Answer) { a.Auth = []byte("signature") },
			} {
				forged := *a
				change(&forged)
				if err := verifyAnswer(&forged); !errors.Is(err, ErrForged) {
					t.Errorf("%s changed: error is %v, want %v", field, err, ErrForged)
				}
			}
		})
	}
}

// TestDomainsAreSeparate uses the signature of a message on an answer that has
// the same bytes otherwise, and of a message as that of a change.
func TestDomainsAreSeparate(t *testing.T) {
	m := &Routed{ID: messageID(1)}
	if a, b := messageBytes(originDomain, m, nil), messageBytes(changeDomain, m, nil); bytes.Equal(a, b) {
		t.Error("a message and a change are signed alike")
	}
	if a, b := messageBytes(originDomain, m, nil), answerBytes(&Answer{ID: m.ID}); bytes.HasPrefix(a, b[:10]) {
		t.Error("a message and an answer are signed alike")
	}
}

func TestSignerNeedsAKey(t *testing.T) {
	if _, err := newSigner(bookPeer(t, 1), nil); err == nil {
		t.Error("a host without a private key got a signer")
	}
}
