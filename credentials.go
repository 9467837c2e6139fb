package pastry

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"
)

// ErrCredential is wrapped by every error that says a peer may not join, or
// that a credential cannot be used at all.
var ErrCredential = errors.New("pastry: credential refused")

const (
	// challengeSize is the length in bytes of the random challenge in a hello.
	challengeSize = 32

	// bindingDomain keeps a proof from meaning anything outside a hello.
	bindingDomain = "pastry credential binding v1"

	// passphraseSalt is the same for everybody: members share nothing but the
	// passphrase before they meet.
	passphraseSalt = "pastry passphrase key v1"

	// passphraseIterations is what OWASP asks of PBKDF2 with SHA-256.
	passphraseIterations = 600_000
)

// Binding is what a proof is bound to: one direction of one link. A proof made
// for a Binding is worthless for any other.
type Binding struct {
	// Prover makes the proof and Verifier checks it. They are the two peers
	// that the link's secure channel authenticated, never what a peer claims.
	Prover, Verifier peer.ID

	// ProverChallenge and VerifierChallenge are the 32 random bytes that each
	// side drew for this link and sent in its hello.
	ProverChallenge, VerifierChallenge []byte

	// Protocol is the protocol ID that the link runs, with its prefix.
	Protocol string
}

// MarshalBinary returns the bytes for a Credentials to sign or authenticate: a
// domain string, Protocol, Prover, Verifier, ProverChallenge and
// VerifierChallenge, each preceded by its length as 8 bytes, big-endian. Peer
// IDs are in their binary form. No two Bindings have the same bytes.
//
// It fails, with an error that wraps ErrCredential, when a field is empty, a
// challenge is not 32 bytes long, or Prover is Verifier, since a proof could
// then be reflected.
func (b Binding) MarshalBinary() ([]byte, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	var out []byte
	out = appendField(out, bindingDomain)
	out = appendField(out, b.Protocol)
	out = appendField(out, b.Prover)
	out = appendField(out, b.Verifier)
	out = appendField(out, b.ProverChallenge)
	out = appendField(out, b.VerifierChallenge)
	return out, nil
}

func (b Binding) check() error {
	switch {
	case b.Protocol == "":
		return fmt.Errorf("%w: binding without a protocol", ErrCredential)
	case b.Prover == "" || b.Verifier == "":
		return fmt.Errorf("%w: binding without a peer ID", ErrCredential)
	case b.Prover == b.Verifier:
		return fmt.Errorf("%w: %s proves to itself", ErrCredential, b.Prover)
	case len(b.ProverChallenge) != challengeSize || len(b.VerifierChallenge) != challengeSize:
		return fmt.Errorf("%w: challenges of %d and %d bytes, want %d", ErrCredential,
			len(b.ProverChallenge), len(b.VerifierChallenge), challengeSize)
	}
	return nil
}

// Credentials decide who may join a cluster. On every new link each end proves
// to the other, and a link carries nothing else until both proofs were
// verified. All members must use credentials of the same shape.
//
// Both methods run on the goroutine that opens the link, hold it up while they
// run, and may be called from many goroutines at once. They must not retain or
// change the slices they are given.
type Credentials interface {
	// Prove returns the proof that b.Prover, the local peer, sends to
	// b.Verifier. It may be empty. On an error nothing is sent and the link
	// is closed.
	Prove(b Binding) ([]byte, error)

	// Verify returns nil when proof shows that b.Prover, the remote peer, may
	// join, and otherwise an error that wraps ErrCredential. The proof comes
	// from an unauthorised peer: whatever it holds, Verify must not panic.
	Verify(b Binding, proof []byte) error
}

// validateCredentials reports why c can never admit anybody, or nil. Only the
// credentials of this package are examined; others are taken on trust.
func validateCredentials(c Credentials) error {
	if c == nil {
		return fmt.Errorf("%w: nil credentials", ErrCredential)
	}
	if v, ok := c.(interface{ validate() error }); ok {
		return v.validate()
	}
	return nil
}

// passphrase is immutable.
type passphrase struct {
	// mac returns the HMAC of a message. It closes over the key, which keeps
	// the key out of every log: fmt shows the fields of nested structs.
	mac func(msg []byte) []byte
	err error // why there is no mac
}

// Passphrase admits the peers that know secret, compared byte for byte. The
// proof is an HMAC-SHA256 of the Binding, so it shows neither the secret nor
// the key, holds for one direction of one link, and cannot be replayed.
//
// The key is derived here, once, with PBKDF2 (SHA-256, 600,000 iterations, a
// fixed salt), which takes some tenths of a second of processor time. The
// secret itself is not kept. Share the result between nodes of one process.
//
// Whoever receives a proof, which is any peer this node links to, can test
// guesses against it offline at the price of one derivation each, and work
// done on guesses serves against every cluster because the salt is fixed. So
// take a long random passphrase, and another for each cluster; [AllCredentials]
// with [AllowPeers] withholds the proof from strangers. Every member can
// pass the secret on; to shut out one that did, change it everywhere.
//
// An empty secret is an error that [New] reports; until then the result
// refuses everybody.
func Passphrase(secret string) Credentials {
	if secret == "" {
		return &passphrase{err: fmt.Errorf("%w: empty passphrase", ErrCredential)}
	}
	key, err := pbkdf2.Key(sha256.New, secret, []byte(passphraseSalt), passphraseIterations, sha256.Size)
	if err != nil {
		return &passphrase{err: fmt.Errorf("%w: deriving a key: %w", ErrCredential, err)}
	}
	return keyedPassphrase(key)
}

// keyedPassphrase takes over key.
func keyedPassphrase(key []byte) *passphrase {
	return &passphrase{mac: func(msg []byte) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write(msg)
		return mac.Sum(nil)
	}}
}

func (p *passphrase) Prove(b Binding) ([]byte, error) {
	if p.err != nil {
		return nil, p.err
	}
	msg, err := b.MarshalBinary()
	if err != nil {
		return nil, err
	}
	return p.mac(msg), nil
}

func (p *passphrase) Verify(b Binding, proof []byte) error {
	want, err := p.Prove(b)
	if err != nil {
		return err
	}
	if !hmac.Equal(proof, want) {
		return fmt.Errorf("%w: %s does not know the passphrase", ErrCredential, b.Prover)
	}
	return nil
}

func (p *passphrase) validate() error { return p.err }

// peerList is immutable.
type peerList struct {
	ids map[peer.ID]struct{}
	err error // why the list is of no use
}

// AllowPeers admits the listed peers only, by the peer ID that the secure
// channel authenticated. The proof is empty, and any other is refused. It
// holds both ways: a node does not prove itself to a peer outside its own
// list. The node's own ID may be listed, so that all members can share a list.
//
// A list that is empty or holds an empty peer ID is an error that [New]
// reports; until then the result refuses everybody.
func AllowPeers(ids ...peer.ID) Credentials {
	l := &peerList{ids: make(map[peer.ID]struct{}, len(ids))}
	if len(ids) == 0 {
		l.err = fmt.Errorf("%w: no peer is allowed", ErrCredential)
	}
	for i, id := range ids {
		if err := id.Validate(); err != nil {
			l.err = errors.Join(l.err, fmt.Errorf("%w: allowed peer %d of %d: %w", ErrCredential, i+1, len(ids), err))
		}
		l.ids[id] = struct{}{}
	}
	return l
}

func (l *peerList) Prove(b Binding) ([]byte, error) {
	return nil, l.admit(b.Verifier)
}

func (l *peerList) Verify(b Binding, proof []byte) error {
	if len(proof) != 0 {
		return fmt.Errorf("%w: %s sent a proof of %d bytes, want none", ErrCredential, b.Prover, len(proof))
	}
	return l.admit(b.Prover)
}

func (l *peerList) admit(id peer.ID) error {
	if l.err != nil {
		return l.err
	}
	if _, ok := l.ids[id]; !ok {
		return fmt.Errorf("%w: %s is not an allowed peer", ErrCredential, id)
	}
	return nil
}

func (l *peerList) validate() error { return l.err }

// allCredentials is immutable.
type allCredentials struct{ parts []Credentials }

// AllCredentials admits the peers that every one of cs admits; the order must
// be the same on all members. The proof is that of each, in order, preceded by
// its length as 8 bytes, big-endian. If one of cs cannot prove, none does.
//
// No credentials at all, and those that are nil or invalid themselves, are an
// error that [New] reports; until then the result refuses everybody.
func AllCredentials(cs ...Credentials) Credentials {
	return &allCredentials{parts: slices.Clone(cs)}
}

func (a *allCredentials) Prove(b Binding) ([]byte, error) {
	if err := a.validate(); err != nil {
		return nil, err
	}
	var out []byte
	for i, c := range a.parts {
		proof, err := c.Prove(b)
		if err != nil {
			return nil, a.wrap(i, err)
		}
		out = appendField(out, proof)
	}
	return out, nil
}

func (a *allCredentials) Verify(b Binding, proof []byte) error {
	if err := a.validate(); err != nil {
		return err
	}
	parts, ok := splitFields(proof, len(a.parts))
	if !ok {
		return fmt.Errorf("%w: %s sent %d bytes that are not %d proofs", ErrCredential, b.Prover, len(proof), len(a.parts))
	}
	for i, c := range a.parts {
		if err := c.Verify(b, parts[i]); err != nil {
			return a.wrap(i, err)
		}
	}
	return nil
}

// validate reports every fault, not only the first.
func (a *allCredentials) validate() error {
	if len(a.parts) == 0 {
		return fmt.Errorf("%w: no credentials to demand", ErrCredential)
	}
	var errs []error
	for i, c := range a.parts {
		if err := validateCredentials(c); err != nil {
			errs = append(errs, a.wrap(i, err))
		}
	}
	return errors.Join(errs...)
}

func (a *allCredentials) wrap(i int, err error) error {
	return fmt.Errorf("credential %d of %d: %w", i+1, len(a.parts), err)
}

// appendField appends f to dst, preceded by its length as 8 bytes, big-endian.
func appendField[T ~string | ~[]byte](dst []byte, f T) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(len(f)))
	return append(dst, f...)
}

// splitFields undoes n calls of appendField, and reports false unless src is
// exactly n fields. The fields share src's memory.
func splitFields(src []byte, n int) ([][]byte, bool) {
	fields := make([][]byte, n)
	for i := range fields {
		if len(src) < 8 {
			return nil, false
		}
		size := binary.BigEndian.Uint64(src)
		src = src[8:]
		if size > uint64(len(src)) {
			return nil, false
		}
		fields[i], src = src[:size:size], src[size:]
	}
	return fields, len(src) == 0
}
