package main

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func TestStamp(t *testing.T) {
	for _, value := range []string{"", "hello", "\x00\x01", strings.Repeat("x", maxPlainValue)} {
		at, got, err := unstamp(stamp(noon, []byte(value)))
		if err != nil || !at.Equal(noon) || string(got) != value {
			t.Errorf("value of %d bytes: got %d bytes put at %v, %v", len(value), len(got), at, err)
		}
	}
}

func TestPlainValuesValidate(t *testing.T) {
	const refused = true
	tests := []struct {
		name    string
		value   []byte
		refused bool
	}{
		{"empty", stamp(noon, nil), !refused},
		{"the largest", stamp(noon, make([]byte, maxPlainValue)), !refused},
		{"too large", stamp(noon, make([]byte, maxPlainValue+1)), refused},
		{"of old", stamp(time.Unix(0, 1), []byte("x")), !refused},
		{"a little ahead", stamp(noon.Add(maxAhead), []byte("x")), !refused},
		{"too far ahead", stamp(noon.Add(maxAhead+1), []byte("x")), refused},
		{"as far ahead as can be", []byte("\x01\x7f\xff\xff\xff\xff\xff\xff\xffx"), refused},
		{"beyond that", []byte("\x01\xff\xff\xff\xff\xff\xff\xff\xffx"), refused},
		{"nothing", nil, refused},
		{"half a stamp", []byte("\x01\x00\x00\x00\x00\x00\x00\x00"), refused},
		{"not stamped", []byte("a value of some other program"), refused},
	}
	v := plainValues{now: func() time.Time { return noon }}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := v.Validate("/app/x", tt.value); (err != nil) != tt.refused {
				t.Errorf("got %v, want an error: %v", err, tt.refused)
			}
		})
	}
}

// Of any two values, everybody finds the same one better.
func TestPlainValuesSelect(t *testing.T) {
	tests := []struct {
		name          string
		better, worse []byte
	}{
		{"later", stamp(noon.Add(1), []byte("a")), stamp(noon, []byte("b"))},
		{"much later", stamp(noon, []byte("a")), stamp(time.Unix(0, 0), []byte("b"))},
		{"at the same time", stamp(noon, []byte("b")), stamp(noon, []byte("a"))},
		{"at the same time, longer", stamp(noon, []byte("ab")), stamp(noon, []byte("a"))},
	}
	var v plainValues
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for want, values := range [][][]byte{{tt.better, tt.worse}, {tt.worse, tt.better}, {tt.worse, tt.worse, tt.better}} {
				if got, err := v.Select("/app/x", values); err != nil || got != want {
					t.Errorf("got %d, %v, want %d", got, err, want)
				}
			}
		})
	}
	if _, err := v.Select("/app/x", nil); err == nil {
		t.Error("got no error for no values")
	}
}

// Whoever puts a value has the last word, also over a clock that is ahead.
func TestLater(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	last := noon
	for range 1000 {
		now := noon.Add(time.Duration(rng.Int64N(int64(time.Hour))))
		got := later(now, last)
		if !got.After(last) || got.Before(now) {
			t.Fatalf("after one at %v, a put at %v counts as at %v", last, now, got)
		}
		last = got
	}
}

func TestParseValueKey(t *testing.T) {
	const text = "12D3KooWJ5wRTJtXrLsH8HaFgLTt4rrzwRWqKnPgZNdrX2tVbHJ4"
	id, err := peer.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, key, namespace, routing string }{
		{"plain", "/app/greeting", "app", "/app/greeting"},
		{"with more slashes", "/app/a/b/", "app", "/app/a/b/"},
		{"public key", "/pk/" + text, "pk", "/pk/" + string(id)},
		{"IPNS", "/ipns/" + text, "ipns", "/ipns/" + string(id)},
		{"IPNS by CID", "/ipns/" + peer.ToCid(id).String(), "ipns", "/ipns/" + string(id)},
		{"empty", "", "", ""},
		{"relative", "app/greeting", "", ""},
		{"namespace only", "/app", "", ""},
		{"no name", "/app/", "", ""},
		{"no namespace", "//x", "", ""},
		{"no peer", "/ipns/greeting", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseValueKey(tt.key)
			if tt.routing == "" {
				if err == nil {
					t.Errorf("got %+v, want an error", got)
				}
				return
			}
			if err != nil || got.namespace != tt.namespace || got.routing != tt.routing || got.text != tt.key {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestCheckNamespaces(t *testing.T) {
	if err := checkNamespaces([]string{"app", "other"}); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"", "/", "a/b", "pk", "ipns"} {
		if err := checkNamespaces([]string{"app", name}); err == nil {
			t.Errorf("%q is accepted", name)
		}
	}
	if _, _, err := unstamp([]byte("short")); !errors.Is(err, errNotStamped) {
		t.Errorf("got %v, want %v", err, errNotStamped)
	}
}
