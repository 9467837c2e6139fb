package pastry

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/secondbit/pastry/pb"
)

// ErrForged is returned for a message or answer whose signature does not match
// the one it is said to come from.
var ErrForged = errors.New("pastry: forged signature")

// The domains keep a signature made for one purpose from serving another.
const (
	originDomain = "pastry message v1"
	changeDomain = "pastry change v1"
	answerDomain = "pastry answer v1"
)

// Change is a payload as a node on the way sent it on.
type Change struct {
	By      peer.ID
	Payload []byte
}

// signer makes the signatures of one host.
type signer struct {
	self peer.ID
	key  crypto.PrivKey
	pub  []byte // marshalled public key, nil when the peer ID holds it
}

func newSigner(self peer.ID, key crypto.PrivKey) (*signer, error) {
	if key == nil {
		return nil, errors.New("pastry: the host's peerstore has no private key for the host's own peer ID")
	}
	s := &signer{self: self, key: key}
	if _, err := self.ExtractPublicKey(); err != nil {
		if s.pub, err = crypto.MarshalPublicKey(key.GetPublic()); err != nil {
			return nil, fmt.Errorf("pastry: marshal the host's public key: %w", err)
		}
	}
	return s, nil
}

// messageBytes returns what the origin of m, or a node that changed it, signs.
func messageBytes(domain string, m *Routed, payload []byte) []byte {
	b := make([]byte, 0, 160+len(payload))
	key := m.Key.Bytes()
	b = appendField(b, domain)
	b = append(append(b, m.ID[:]...), key[:]...)
	b = appendField(b, m.App)
	b = appendField(b, m.Origin)
	switch {
	case m.Direct:
		b = append(b, 1)
	case m.Replicas > 0:
		b = append(b, 2, byte(m.Replicas), byte(len(m.Coord)))
		for _, x := range m.Coord {
			b = binary.BigEndian.AppendUint32(b, math.Float32bits(x))
		}
	default:
		b = append(b, 0)
	}
	return appendField(b, payload)
}

// sign returns m with the signature of its origin.
func (s *signer) sign(m *Routed) (*Routed, error) {
	sig, err := s.key.Sign(messageBytes(originDomain, m, m.Payload))
	if err != nil {
		return nil, fmt.Errorf("pastry: sign a message: %w", err)
	}
	signed := *m
	signed.Auth, err = proto.Marshal(&pb.OriginAuth{PublicKey: s.pub, Signature: sig})
	return &signed, err
}

// change returns m with another payload, signed by this host beside what the
// origin and earlier nodes signed.
func (s *signer) change(m *Routed, payload []byte) (*Routed, error) {
	auth, err := parseAuth(m.Auth)
	if err != nil {
		return nil, err
	}
	if n := len(auth.Changes); n > 0 {
		auth.Changes[n-1].Payload = m.Payload
	} else {
		auth.OriginalPayload = m.Payload
	}
	sig, err := s.key.Sign(changeBytes(m, auth, len(auth.Changes), s.self, payload))
	if err != nil {
		return nil, fmt.Errorf("pastry: sign a change: %w", err)
	}
	auth.Changes = append(auth.Changes, &pb.Change{Peer: []byte(s.self), PublicKey: s.pub, Signature: sig})
	changed := *m
	changed.Payload = payload
	changed.Auth, err = proto.Marshal(auth)
	return &changed, err
}

// parseAuth parses the signatures of a message. What comes in a few bytes must
// not take up much memory, so the changes are counted before they are parsed.
func parseAuth(b []byte) (*pb.OriginAuth, error) {
	changes := 0
	for rest := b; len(rest) > 0; {
		field, _, n := protowire.ConsumeField(rest)
		if n < 0 {
			return nil, fmt.Errorf("%w: %w", ErrForged, protowire.ParseError(n))
		}
		rest = rest[n:]
		if changes += boolToInt(field == changesField); changes > maxHops {
			return nil, fmt.Errorf("%w: more than %d changes", ErrForged, maxHops)
		}
	}
	auth := new(pb.OriginAuth)
	if err := proto.Unmarshal(b, auth); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForged, err)
	}
	return auth, nil
}

// changesField is the number of OriginAuth.changes.
const changesField = 3

// changeBytes returns what the node that makes change i signs: the changed
// message and the signature before, so that changes cannot be reordered or left
// out in the middle.
func changeBytes(m *Routed, auth *pb.OriginAuth, i int, by peer.ID, payload []byte) []byte {
	before := auth.Signature
	if i > 0 {
		before = auth.Changes[i-1].Signature
	}
	b := messageBytes(changeDomain, m, payload)
	b = appendField(b, before)
	return appendField(b, by)
}

// verifyMessage checks every signature of m and returns the payload as the
// origin sent it and the changes made on the way, both empty when there were
// none. The error wraps ErrForged.
func verifyMessage(m *Routed) (original []byte, changes []Change, err error) {
	auth, err := parseAuth(m.Auth)
	if err != nil {
		return nil, nil, err
	}
	n := len(auth.Changes)
	payload := m.Payload
	if n > 0 {
		payload, original = auth.OriginalPayload, auth.OriginalPayload
	}
	if err := verify(m.Origin, auth.PublicKey, messageBytes(originDomain, m, payload), auth.Signature); err != nil {
		return nil, nil, err
	}
	for i, c := range auth.Changes {
		by, payload := peer.ID(c.Peer), c.Payload
		if i == n-1 {
			payload = m.Payload
		}
		if err := verify(by, c.PublicKey, changeBytes(m, auth, i, by, payload), c.Signature); err != nil {
			return nil, nil, err
		}
		changes = append(changes, Change{By: by, Payload: payload})
	}
	return original, changes, nil
}

// answerBytes returns what the root signs: the answer, bound to the message.
func answerBytes(a *Answer) []byte {
	b := make([]byte, 0, 160+len(a.Payload))
	b = appendField(b, answerDomain)
	b = append(b, a.ID[:]...)
	b = appendField(b, a.Origin)
	b = appendField(b, a.Root)
	b = binary.BigEndian.AppendUint32(b, uint32(a.Code))
	return appendField(b, a.Payload)
}

// signAnswer returns the signature of this host on an answer.
func (s *signer) signAnswer(a *Answer) ([]byte, error) {
	sig, err := s.key.Sign(answerBytes(a))
	if err != nil {
		return nil, fmt.Errorf("pastry: sign an answer: %w", err)
	}
	return proto.Marshal(&pb.RootAuth{PublicKey: s.pub, Signature: sig})
}

// verifyAnswer checks the root's signature. The error wraps ErrForged.
func verifyAnswer(a *Answer) error {
	var auth pb.RootAuth
	if err := proto.Unmarshal(a.Auth, &auth); err != nil {
		return fmt.Errorf("%w: %w", ErrForged, err)
	}
	return verify(a.Root, auth.PublicKey, answerBytes(a), auth.Signature)
}

// verify checks a signature of a peer. public is needed only when the peer ID
// does not hold the key.
func verify(p peer.ID, public, data, sig []byte) error {
	key, err := p.ExtractPublicKey()
	if err != nil {
		if key, err = crypto.UnmarshalPublicKey(public); err != nil || !p.MatchesPublicKey(key) {
			return fmt.Errorf("%w: no public key that matches peer %s", ErrForged, p)
		}
	}
	if ok, err := key.Verify(data, sig); err != nil || !ok {
		return fmt.Errorf("%w: of peer %s", ErrForged, p)
	}
	return nil
}
