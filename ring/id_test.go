package ring_test

import (
	"encoding"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"github.com/secondbit/pastry/ring"
)

var (
	_ encoding.BinaryAppender    = ring.ID{}
	_ encoding.BinaryMarshaler   = ring.ID{}
	_ encoding.BinaryUnmarshaler = (*ring.ID)(nil)
	_ encoding.TextAppender      = ring.ID{}
	_ encoding.TextMarshaler     = ring.ID{}
	_ encoding.TextUnmarshaler   = (*ring.ID)(nil)
	_ fmt.Stringer               = ring.ID{}
)

// The messages and digests of FIPS 180-4's examples, cut to 128 bits.
func TestFromKey(t *testing.T) {
	tests := []struct{ name, key, want string }{
		{"empty", "", "e3b0c44298fc1c149afbf4c8996fb924"},
		{"one block", "abc", "ba7816bf8f01cfea414140de5dae2223"},
		{"two blocks", "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61d20638b8e5c026930c3e6039"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := ring.FromKey([]byte(tt.key)).String(); got != tt.want {
				t.Errorf("FromKey(%q) = %s, want %s", tt.key, got, tt.want)
			}
		})
	}
}

func TestFromPeer(t *testing.T) {
	tests := []struct{ name, peer, want string }{
		{"ed25519", "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV", "06567cf09231b70576326a32e0f6c2fa"},
		{"rsa", "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N", "e41c99e231bc8c569bdbb2bb67fd760a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := peer.Decode(tt.peer)
			if err != nil {
				t.Fatal(err)
			}
			if got := ring.FromPeer(p).String(); got != tt.want {
				t.Errorf("FromPeer(%v) = %s, want %s", p, got, tt.want)
			}
		})
	}
}

// Nothing depends on the length of a peer ID, whatever future keys may bring.
func TestFromPeerOfAnyLength(t *testing.T) {
	for n := range 200 {
		text := strings.Repeat("p", n)
		if got, want := ring.FromPeer(peer.ID(text)), ring.FromKey([]byte(text)); got != want {
			t.Errorf("FromPeer of %d bytes = %v, want %v", n, got, want)
		}
	}
}

func TestFromMultihash(t *testing.T) {
	tests := []struct{ name, content, want string }{
		{"empty", "", "6e4ab70ca6e24956137e4aacfa0ecf95"},
		{"abc", "abc", "411f198c5b7cb21d7932498a965092d6"},
		{"hello world", "hello world", "d323dcae8bb357d0f7c6b6235109503d"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			mh, err := multihash.Sum([]byte(tt.content), multihash.SHA2_256, -1)
			if err != nil {
				t.Fatal(err)
			}
			if got := ring.FromMultihash(mh).String(); got != tt.want {
				t.Errorf("FromMultihash(%s) = %s, want %s", mh.HexString(), got, tt.want)
			}
		})
	}
}

func TestRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	again := rand.New(rand.NewPCG(1, 2))
	seen := make(map[ring.ID]bool)
	var ones [ring.Bits]int
	for range 1000 {
		x := ring.Random(r)
		hi, lo := again.Uint64(), again.Uint64()
		if want := ring.FromUint64s(hi, lo); x != want {
			t.Fatalf("Random = %v, want %v", x, want)
		}
		seen[x] = true
		for i := range ones {
			ones[i] += x.Digit(i, 1)
		}
	}
	if got := len(seen); got != 1000 {
		t.Errorf("%d distinct ids, want 1000", got)
	}
	// Ten standard deviations of 1,000 coin flips are 158.
	for i, n := range ones {
		if n < 500-158 || n > 500+158 {
			t.Errorf("bit %d set in %d of 1000 ids", i, n)
		}
	}
}

func TestZeroValue(t *testing.T) {
	var x ring.ID
	if got, want := x.String(), strings.Repeat("0", 32); got != want {
		t.Errorf("String() = %s, want %s", got, want)
	}
	if !x.IsZero() || x != ring.FromUint64s(0, 0) {
		t.Error("the zero value is not the point 0")
	}
}

func TestShort(t *testing.T) {
	if got, want := ring.FromKey([]byte("abc")).Short(), "ba7816bf"; got != want {
		t.Errorf("Short() = %s, want %s", got, want)
	}
}

func FuzzForms(f *testing.F) {
	for _, x := range edges {
		hi, lo := x.Uint64s()
		f.Add(hi, lo)
	}
	f.Fuzz(func(t *testing.T, hi, lo uint64) {
		x := ring.FromUint64s(hi, lo)
		value := new(big.Int).Lsh(new(big.Int).SetUint64(hi), 64)
		value.Or(value, new(big.Int).SetUint64(lo))

		if gotHi, gotLo := x.Uint64s(); gotHi != hi || gotLo != lo {
			t.Errorf("Uint64s() = %x, %x, want %x, %x", gotHi, gotLo, hi, lo)
		}
		checkBinary(t, x, value)
		checkText(t, x, fmt.Sprintf("%032x", value))
	})
}

func checkBinary(t *testing.T, x ring.ID, value *big.Int) {
	t.Helper()
	var want [ring.Size]byte
	value.FillBytes(want[:])
	if got := x.Bytes(); got != want {
		t.Errorf("Bytes() = %x, want %x", got, want)
	}
	data, err := x.MarshalBinary()
	if err != nil || string(data) != string(want[:]) {
		t.Errorf("MarshalBinary() = %x, %v, want %x", data, err, want)
	}
	data, err = x.AppendBinary([]byte("before"))
	if err != nil || string(data) != "before"+string(want[:]) {
		t.Errorf("AppendBinary() = %x, %v", data, err)
	}
	if got, err := ring.FromBytes(want[:]); err != nil || got != x {
		t.Errorf("FromBytes(%x) = %v, %v, want %v", want, got, err, x)
	}
	var got ring.ID
	if err := got.UnmarshalBinary(want[:]); err != nil || got != x {
		t.Errorf("UnmarshalBinary(%x) = %v, %v, want %v", want, got, err, x)
	}
}

func checkText(t *testing.T, x ring.ID, want string) {
	t.Helper()
	if got := x.String(); got != want {
		t.Errorf("String() = %s, want %s", got, want)
	}
	if got := x.Short(); got != want[:8] {
		t.Errorf("Short() = %s, want %s", got, want[:8])
	}
	text, err := x.MarshalText()
	if err != nil || string(text) != want {
		t.Errorf("MarshalText() = %s, %v, want %s", text, err, want)
	}
	text, err = x.AppendText([]byte("before"))
	if err != nil || string(text) != "before"+want {
		t.Errorf("AppendText() = %s, %v, want before%s", text, err, want)
	}
	for _, s := range []string{want, strings.ToUpper(want)} {
		if got, err := ring.Parse(s); err != nil || got != x {
			t.Errorf("Parse(%s) = %v, %v, want %v", s, got, err, x)
		}
		var got ring.ID
		if err := got.UnmarshalText([]byte(s)); err != nil || got != x {
			t.Errorf("UnmarshalText(%s) = %v, %v, want %v", s, got, err, x)
		}
	}
	checkJSON(t, x, want)
}

// An id in JSON is its text, as a value and as the key of an object.
func checkJSON(t *testing.T, x ring.ID, text string) {
	t.Helper()
	data, err := json.Marshal(map[ring.ID]ring.ID{x: x})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(data), fmt.Sprintf(`{%q:%q}`, text, text); got != want {
		t.Errorf("JSON %s, want %s", got, want)
	}
	var got map[ring.ID]ring.ID
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	want := map[ring.ID]ring.ID{x: x}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(ring.ID{})); diff != "" {
		t.Errorf("JSON round trip (-want +got):\n%s", diff)
	}
}

var malformedTexts = []struct{ name, text string }{
	{"empty", ""},
	{"short", strings.Repeat("0", 31)},
	{"long", strings.Repeat("0", 33)},
	{"very long", strings.Repeat("0", 1<<20)},
	{"not hexadecimal", strings.Repeat("0", 31) + "g"},
	{"prefix", "0x" + strings.Repeat("0", 30)},
	{"sign", "-" + strings.Repeat("0", 31)},
	{"space", strings.Repeat("0", 31) + " "},
	{"NUL", strings.Repeat("\x00", 32)},
	{"wide characters", strings.Repeat("０", 32)},
	{"32 bytes of wide characters", strings.Repeat("é", 16)},
}

func TestParseMalformed(t *testing.T) {
	for _, tt := range malformedTexts {
		t.Run(tt.name, func(t *testing.T) { checkMalformedText(t, tt.text) })
	}
}

// checkMalformedText expects a bounded error, and receivers left as they were.
func checkMalformedText(t *testing.T, s string) {
	t.Helper()
	got, err := ring.Parse(s)
	if !errors.Is(err, ring.ErrMalformed) || !got.IsZero() {
		t.Errorf("Parse(%.40q) = %v, %v, want ErrMalformed", s, got, err)
	}
	if err != nil && len(err.Error()) > 120 {
		t.Errorf("Parse(%.40q): error of %d bytes", s, len(err.Error()))
	}
	before := ring.FromUint64s(1, 2)
	x := before
	if err := x.UnmarshalText([]byte(s)); !errors.Is(err, ring.ErrMalformed) || x != before {
		t.Errorf("UnmarshalText(%.40q) = %v, set %v, want ErrMalformed", s, err, x)
	}
	quoted, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(quoted, &x); err == nil || x != before {
		t.Errorf("json.Unmarshal(%.40q) = %v, set %v, want an error", quoted, err, x)
	}
}

var hexText = regexp.MustCompile(`\A[0-9a-fA-F]{32}\z`)

func FuzzParse(f *testing.F) {
	f.Add("0123456789abcdefABCDEF0123456789")
	for _, tt := range malformedTexts[:5] {
		f.Add(tt.text[:min(len(tt.text), 64)])
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !hexText.MatchString(s) {
			checkMalformedText(t, s)
			return
		}
		value, ok := new(big.Int).SetString(s, 16)
		if !ok {
			t.Fatalf("big.Int does not read %q", s)
		}
		got, err := ring.Parse(s)
		if err != nil || toBig(got).Cmp(value) != 0 {
			t.Errorf("Parse(%q) = %v, %v, want %x", s, got, err, value)
		}
		checkText(t, got, strings.ToLower(s))
	})
}

func FuzzFromBytes(f *testing.F) {
	for _, n := range []int{0, 1, 15, 16, 17, 32} {
		f.Add(make([]byte, n))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := ring.FromUint64s(1, 2)
		x := before
		got, err := ring.FromBytes(b)
		errUnmarshal := x.UnmarshalBinary(b)
		if len(b) != ring.Size {
			if !errors.Is(err, ring.ErrMalformed) || !got.IsZero() {
				t.Errorf("FromBytes of %d bytes = %v, %v, want ErrMalformed", len(b), got, err)
			}
			if !errors.Is(errUnmarshal, ring.ErrMalformed) || x != before {
				t.Errorf("UnmarshalBinary of %d bytes = %v, set %v, want ErrMalformed", len(b), errUnmarshal, x)
			}
			return
		}
		if want := hex.EncodeToString(b); err != nil || got.String() != want {
			t.Errorf("FromBytes(%x) = %v, %v, want %s", b, got, err, want)
		}
		if errUnmarshal != nil || x != got {
			t.Errorf("UnmarshalBinary(%x) = %v, set %v, want %v", b, errUnmarshal, x, got)
		}
	})
}
