package pastry

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/peer"
)

const memberSecret = "correct horse battery staple"

// memberPassphrase costs a key derivation, so the tests share one.
var memberPassphrase = sync.OnceValue(func() Credentials { return Passphrase(memberSecret) })

func testBinding() Binding {
	return Binding{
		Prover:            "prover",
		Verifier:          "verifier",
		ProverChallenge:   bytes.Repeat([]byte{1}, challengeSize),
		VerifierChallenge: bytes.Repeat([]byte{2}, challengeSize),
		Protocol:          "/pastry/1.0.0",
	}
}

// bindingWith returns the test binding after change.
func bindingWith(change func(*Binding)) Binding {
	b := testBinding()
	change(&b)
	return b
}

func mustProve(t testing.TB, c Credentials, b Binding) []byte {
	t.Helper()
	proof, err := c.Prove(b)
	if err != nil {
		t.Fatalf("Prove: got error %v, want a proof", err)
	}
	return proof
}

func wantRefused(t testing.TB, what string, err error) {
	t.Helper()
	if !errors.Is(err, ErrCredential) {
		t.Errorf("%s: got error %v, want one that wraps ErrCredential", what, err)
	}
}

// Computed apart from this code, with Python's hashlib: the key of memberSecret
// and its proof for testBinding.
const (
	keyVector   = "086168df9d5aee7f3d01d0dd853b3708bc9ca91288510e10a6cddfa9b7df648b"
	proofVector = "79e185cab440ba54be20dd28e7ee5ad19ba25a72c0e19a9079643f4f8dee57d3"
)

func TestPassphraseProofVector(t *testing.T) {
	got := hex.EncodeToString(mustProve(t, memberPassphrase(), testBinding()))
	if got != proofVector {
		t.Errorf("proof: got %s, want %s", got, proofVector)
	}
}

func TestPassphraseRightAndWrong(t *testing.T) {
	b := testBinding()
	if err := memberPassphrase().Verify(b, mustProve(t, memberPassphrase(), b)); err != nil {
		t.Errorf("proof by a member: got error %v, want nil", err)
	}
	outsider := Passphrase(memberSecret + " ")
	wantRefused(t, "proof by an outsider", memberPassphrase().Verify(b, mustProve(t, outsider, b)))
	wantRefused(t, "proof to an outsider", outsider.Verify(b, mustProve(t, memberPassphrase(), b)))
}

func TestPassphraseProofHoldsForItsBindingOnly(t *testing.T) {
	fresh := bytes.Repeat([]byte{3}, challengeSize)
	cases := []struct {
		name   string
		change func(*Binding)
	}{
		{"reflected", func(b *Binding) {
			b.Prover, b.Verifier = b.Verifier, b.Prover
			b.ProverChallenge, b.VerifierChallenge = b.VerifierChallenge, b.ProverChallenge
		}},
		{"reflected, challenges in place", func(b *Binding) { b.Prover, b.Verifier = b.Verifier, b.Prover }},
		{"challenges swapped", func(b *Binding) {
			b.ProverChallenge, b.VerifierChallenge = b.VerifierChallenge, b.ProverChallenge
		}},
		{"replayed to a fresh verifier challenge", func(b *Binding) { b.VerifierChallenge = fresh }},
		{"replayed under another prover challenge", func(b *Binding) { b.ProverChallenge = fresh }},
		{"relayed by another prover", func(b *Binding) { b.Prover = "mallory" }},
		{"relayed to another verifier", func(b *Binding) { b.Verifier = "mallory" }},
		{"other protocol", func(b *Binding) { b.Protocol = "/other/pastry/1.0.0" }},
		{"byte moved between peer IDs", func(b *Binding) { b.Prover, b.Verifier = "proverv", "erifier" }},
		{"byte moved from protocol to prover", func(b *Binding) { b.Protocol, b.Prover = "/pastry/1.0.", "0prover" }},
	}
	proof := mustProve(t, memberPassphrase(), testBinding())
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			wantRefused(t, "Verify", memberPassphrase().Verify(bindingWith(tc.change), proof))
		})
	}
}

func TestIncompleteBindingIsRefused(t *testing.T) {
	cases := []struct {
		name   string
		change func(*Binding)
	}{
		{"zero", func(b *Binding) { *b = Binding{} }},
		{"no prover", func(b *Binding) { b.Prover = "" }},
		{"no verifier", func(b *Binding) { b.Verifier = "" }},
		{"no protocol", func(b *Binding) { b.Protocol = "" }},
		{"to itself", func(b *Binding) { b.Verifier = b.Prover }},
		{"no prover challenge", func(b *Binding) { b.ProverChallenge = nil }},
		{"short prover challenge", func(b *Binding) { b.ProverChallenge = b.ProverChallenge[1:] }},
		{"no verifier challenge", func(b *Binding) { b.VerifierChallenge = nil }},
		{"long verifier challenge", func(b *Binding) { b.VerifierChallenge = append(b.VerifierChallenge, 2) }},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			b := bindingWith(tc.change)
			_, err := b.MarshalBinary()
			wantRefused(t, "MarshalBinary", err)
			_, err = memberPassphrase().Prove(b)
			wantRefused(t, "Prove", err)
			wantRefused(t, "Verify", memberPassphrase().Verify(b, make([]byte, 32)))
		})
	}
}

func TestDamagedPassphraseProofIsRefused(t *testing.T) {
	b := testBinding()
	proof := mustProve(t, memberPassphrase(), b)
	for n := range proof {
		wantRefused(t, fmt.Sprintf("first %d bytes", n), memberPassphrase().Verify(b, proof[:n]))
		flipped := bytes.Clone(proof)
		flipped[n] ^= 1
		wantRefused(t, fmt.Sprintf("bit flipped in byte %d", n), memberPassphrase().Verify(b, flipped))
	}
	wantRefused(t, "nil", memberPassphrase().Verify(b, nil))
	wantRefused(t, "a byte too long", memberPassphrase().Verify(b, append(bytes.Clone(proof), 0)))
	wantRefused(t, "twice", memberPassphrase().Verify(b, append(bytes.Clone(proof), proof...)))
}

func TestPassphraseStaysSecret(t *testing.T) {
	c := memberPassphrase()
	key, err := hex.DecodeString(keyVector)
	if err != nil {
		t.Fatal(err)
	}
	both := AllCredentials(AllowPeers("verifier"), c)
	seen := mustProve(t, both, testBinding())
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
		seen = fmt.Appendf(seen, verb+verb+verb, c, both, struct{ c Credentials }{c})
	}
	_, err = c.Prove(Binding{})
	seen = append(seen, err.Error()...)
	seen = append(seen, c.Verify(testBinding(), nil).Error()...)

	for n := range len(memberSecret) - 4 {
		if bytes.Contains(seen, []byte(memberSecret[n:n+5])) {
			t.Errorf("five bytes of the secret show: %q", memberSecret[n:n+5])
		}
	}
	leaks := [][]byte{key[:8], fmt.Appendf(nil, "%x", key[:4]), []byte(strings.Trim(fmt.Sprint(key[:4]), "[]"))}
	for _, leak := range leaks {
		if bytes.Contains(seen, leak) {
			t.Errorf("bytes of the key show: %q", leak)
		}
	}
}

func TestAllowPeers(t *testing.T) {
	list := AllowPeers("prover", "verifier")
	cases := []struct {
		name  string
		c     Credentials
		b     Binding
		proof []byte
		ok    bool
	}{
		{"listed", list, testBinding(), nil, true},
		{"listed, empty proof", list, testBinding(), []byte{}, true},
		{"not listed", list, bindingWith(func(b *Binding) { b.Prover = "mallory" }), nil, false},
		{"prefix of a listed one", list, bindingWith(func(b *Binding) { b.Prover = "prove" }), nil, false},
		{"empty peer ID", list, bindingWith(func(b *Binding) { b.Prover = "" }), nil, false},
		{"only the verifier listed", AllowPeers("verifier"), testBinding(), nil, false},
		{"proof not empty", list, testBinding(), []byte{0}, false},
		{"empty list", AllowPeers(), testBinding(), nil, false},
		{"list with an empty peer ID", AllowPeers("prover", ""), testBinding(), nil, false},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			err := tc.c.Verify(tc.b, tc.proof)
			if tc.ok && err != nil {
				t.Errorf("Verify: got error %v, want nil", err)
			}
			if !tc.ok {
				wantRefused(t, "Verify", err)
			}
		})
	}
}

func TestAllowPeersKeepsItsOwnList(t *testing.T) {
	ids := []peer.ID{"prover"}
	c := AllowPeers(ids...)
	ids[0] = "mallory"
	if err := c.Verify(testBinding(), nil); err != nil {
		t.Errorf("Verify after the caller's slice changed: got error %v, want nil", err)
	}
}

func TestAllowPeersProvesToListedPeersOnly(t *testing.T) {
	if got := mustProve(t, AllowPeers("verifier"), testBinding()); len(got) != 0 {
		t.Errorf("proof: got %x, want none", got)
	}
	_, err := AllowPeers("prover").Prove(testBinding())
	wantRefused(t, "Prove to a stranger", err)

	both := AllCredentials(memberPassphrase(), AllowPeers("prover"))
	proof, err := both.Prove(testBinding())
	wantRefused(t, "composed Prove to a stranger", err)
	if proof != nil {
		t.Errorf("composed proof to a stranger: got %x, want none", proof)
	}
}

func TestAllCredentialsDemandsEach(t *testing.T) {
	b := testBinding()
	listed, unlisted := AllowPeers("prover", "verifier"), AllowPeers("verifier", "somebody")
	secret := memberPassphrase()
	proof := mustProve(t, AllCredentials(secret, listed), b)
	forged := append(appendField(nil, make([]byte, 32)), appendField(nil, "")...)
	cases := []struct {
		name  string
		c     Credentials
		proof []byte
		ok    bool
	}{
		{"both hold", AllCredentials(secret, listed), proof, true},
		{"first fails", AllCredentials(secret, listed), forged, false},
		{"second fails", AllCredentials(secret, unlisted), proof, false},
		{"other order", AllCredentials(listed, secret), proof, false},
		{"fewer demanded", AllCredentials(secret), proof, false},
		{"more demanded", AllCredentials(secret, listed, listed), proof, false},
		{"bare proof", AllCredentials(secret), mustProve(t, secret, b), false},
		{"nested", AllCredentials(AllCredentials(secret, listed)), appendField(nil, proof), true},
		{"none demanded", AllCredentials(), nil, false},
		{"nil demanded", AllCredentials(secret, nil), proof, false},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			err := tc.c.Verify(b, tc.proof)
			if tc.ok && err != nil {
				t.Errorf("Verify: got error %v, want nil", err)
			}
			if !tc.ok {
				wantRefused(t, "Verify", err)
			}
		})
	}
}

func TestSplitFields(t *testing.T) {
	two := append(appendField(nil, "ab"), appendField(nil, "")...)
	huge := append(bytes.Repeat([]byte{0xff}, 8), two...)
	cases := []struct {
		name string
		src  []byte
		n    int
		want []string
		ok   bool
	}{
		{"two", two, 2, []string{"ab", ""}, true},
		{"none", nil, 0, []string{}, true},
		{"too few", two, 3, nil, false},
		{"too many", two, 1, nil, false},
		{"empty", nil, 1, nil, false},
		{"length cut", two[:7], 1, nil, false},
		{"field cut", two[:9], 1, nil, false},
		{"last field cut", two[:len(two)-1], 2, nil, false},
		{"byte left", append(bytes.Clone(two), 0), 2, nil, false},
		{"length beyond an int", huge, 1, nil, false},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			fields, ok := splitFields(tc.src, tc.n)
			if ok != tc.ok {
				t.Fatalf("ok: got %t, want %t", ok, tc.ok)
			}
			if !ok {
				return
			}
			got := make([]string, len(fields))
			for i, f := range fields {
				got[i] = string(f)
			}
			if diff := cmp.Diff(got, tc.want); diff != "" {
				t.Errorf("fields (-got +want):\n%s", diff)
			}
		})
	}
}

// customCredentials has no validate method.
type customCredentials struct{ Credentials }

func TestValidateCredentials(t *testing.T) {
	cases := []struct {
		name string
		c    Credentials
		want []string // each must be in the error; none means no error
	}{
		{"passphrase", memberPassphrase(), nil},
		{"list", AllowPeers("prover"), nil},
		{"both", AllCredentials(memberPassphrase(), AllowPeers("prover")), nil},
		{"custom", customCredentials{}, nil},
		{"nil", nil, []string{"nil credentials"}},
		{"empty passphrase", Passphrase(""), []string{"empty passphrase"}},
		{"empty list", AllowPeers(), []string{"no peer is allowed"}},
		{"empty peer IDs", AllowPeers("", "prover", ""), []string{"peer 1 of 3", "peer 3 of 3"}},
		{"none to demand", AllCredentials(), []string{"no credentials"}},
		{"every fault", AllCredentials(Passphrase(""), memberPassphrase(), nil, AllowPeers()),
			[]string{"1 of 4", "3 of 4", "4 of 4"}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			err := validateCredentials(tc.c)
			if len(tc.want) == 0 {
				if err != nil {
					t.Errorf("got error %v, want nil", err)
				}
				return
			}
			wantRefused(t, "validateCredentials", err)
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got error %q, want it to say %q", err, want)
				}
			}
		})
	}
}

func TestInvalidCredentialsProveNothing(t *testing.T) {
	for _, c := range []Credentials{Passphrase(""), AllowPeers(), AllCredentials(), AllCredentials(nil)} {
		proof, err := c.Prove(testBinding())
		wantRefused(t, "Prove", err)
		if proof != nil {
			t.Errorf("proof: got %x, want none", proof)
		}
	}
}

func TestCredentialsAreSafeForConcurrentUse(t *testing.T) {
	c := AllCredentials(memberPassphrase(), AllowPeers("prover", "verifier"))
	b := testBinding()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				proof, err := c.Prove(b)
				if err == nil {
					err = c.Verify(b, proof)
				}
				if err != nil {
					t.Errorf("got error %v, want nil", err)
				}
			}
		})
	}
	wg.Wait()
}

func FuzzCredentialsVerify(f *testing.F) {
	// A key without the cost of deriving it.
	secret := keyedPassphrase(bytes.Repeat([]byte{7}, 32))
	list := AllowPeers("prover", "verifier")
	both := AllCredentials(secret, list)
	all := []Credentials{secret, list, both, AllCredentials(both, secret), AllCredentials(), Passphrase("")}

	b := testBinding()
	add := func(proof []byte) {
		f.Add(string(b.Prover), string(b.Verifier), b.ProverChallenge, b.VerifierChallenge, b.Protocol, proof)
	}
	add(nil)
	for _, c := range all[:4] {
		proof := mustProve(f, c, b)
		add(proof)
		add(append(proof, 0))
	}
	add(bytes.Repeat([]byte{0xff}, 40))

	f.Fuzz(func(t *testing.T, prover, verifier string, pc, vc []byte, protocol string, proof []byte) {
		b := Binding{Prover: peer.ID(prover), Verifier: peer.ID(verifier),
			ProverChallenge: pc, VerifierChallenge: vc, Protocol: protocol}
		for i, c := range all {
			err := c.Verify(b, proof)
			if err != nil {
				wantRefused(t, "Verify", err)
				continue
			}
			if c == list {
				continue // which proves to listed verifiers only
			}
			// A proof that Verify accepts is the one that Prove makes.
			if want, err := c.Prove(b); i >= 4 || err == nil && !bytes.Equal(proof, want) {
				t.Errorf("credentials %d accepted %x, want only %x", i, proof, want)
			}
		}
	})
}

func ExamplePassphrase() {
	// Every member makes the same, and passes it to New with WithCredentials.
	members := Passphrase("a long and random passphrase")

	// This is what two members' links then do in each direction.
	link := Binding{
		Prover:            "alice",
		Verifier:          "bob",
		ProverChallenge:   bytes.Repeat([]byte{1}, 32), // random, from alice's hello
		VerifierChallenge: bytes.Repeat([]byte{2}, 32), // random, from bob's hello
		Protocol:          "/pastry/1.0.0",
	}
	proof, err := members.Prove(link)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("alice joins:", members.Verify(link, proof) == nil)

	link.Prover = "mallory"
	fmt.Println("mallory with alice's proof:", errors.Is(members.Verify(link, proof), ErrCredential))
	// Output:
	// alice joins: true
	// mallory with alice's proof: true
}

func ExampleAllowPeers() {
	alice, err := peer.Decode("12D3KooWGRUVh9cXxPkYRT6VTVj6FTHGYTqmNzwbFR5bxUHgVZzC")
	if err != nil {
		fmt.Println(err)
		return
	}
	members := AllowPeers(alice, "bob")

	// The proof is empty: the secure channel has shown who the peer is.
	fmt.Println("alice:", members.Verify(Binding{Prover: alice, Verifier: "bob"}, nil))
	fmt.Println("mallory:", members.Verify(Binding{Prover: "mallory", Verifier: "bob"}, nil) != nil)
	// Output:
	// alice: <nil>
	// mallory: true
}

func ExampleAllCredentials() {
	members := AllCredentials(
		AllowPeers("alice", "bob"),
		Passphrase("a long and random passphrase"),
	)
	link := Binding{
		Prover:            "alice",
		Verifier:          "mallory",
		ProverChallenge:   bytes.Repeat([]byte{1}, 32),
		VerifierChallenge: bytes.Repeat([]byte{2}, 32),
		Protocol:          "/pastry/1.0.0",
	}
	// Mallory is not listed, so gets nothing to guess the passphrase from.
	_, err := members.Prove(link)
	fmt.Println(errors.Is(err, ErrCredential))
	// Output: true
}
