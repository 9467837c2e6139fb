package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// A value in a plain namespace, one that -namespace names, is stored behind a
// byte that says so and the time of the put in nanoseconds since 1970, eight
// bytes, big-endian. Of two values the one put later is better, so the last put
// wins; of two put at the same time, the one whose bytes sort last.
const (
	stampedValue = 1
	stampSize    = 9

	maxPlainValue = 64 << 10 // bytes, without the stamp
	maxAhead      = 10 * time.Minute
)

var errNotStamped = errors.New("not a value that \"pastry put\" has put")

// stamp puts the time of the put before a value.
func stamp(at time.Time, value []byte) []byte {
	b := binary.BigEndian.AppendUint64([]byte{stampedValue}, uint64(at.UnixNano()))
	return append(b, value...)
}

// unstamp returns the value and the time of its put.
func unstamp(b []byte) (at time.Time, value []byte, err error) {
	if len(b) < stampSize || b[0] != stampedValue {
		return time.Time{}, nil, errNotStamped
	}
	ns := binary.BigEndian.Uint64(b[1:stampSize])
	if ns > math.MaxInt64 {
		return time.Time{}, nil, errNotStamped
	}
	return time.Unix(0, int64(ns)), b[stampSize:], nil
}

// later returns the time to put a value at now that must replace one put at last.
func later(now, last time.Time) time.Time {
	if now.After(last) {
		return now
	}
	return last.Add(1)
}

// plainValues is the validator of a plain namespace. It accepts whatever was
// stamped, by anybody, unless it is too large or its time more than maxAhead from
// now: such a value could not be replaced until then.
type plainValues struct {
	now func() time.Time
}

func (v plainValues) Validate(_ string, b []byte) error {
	at, value, err := unstamp(b)
	switch {
	case err != nil:
		return err
	case len(value) > maxPlainValue:
		return fmt.Errorf("value of %d bytes, must be at most %d", len(value), maxPlainValue)
	case at.Sub(v.now()) > maxAhead:
		return fmt.Errorf("put at %s, which is in the future; does the clock run right?", at.UTC().Format(time.RFC3339))
	}
	return nil
}

// Select returns the value put last. The stamp sorts as its time does.
func (plainValues) Select(_ string, values [][]byte) (int, error) {
	if len(values) == 0 {
		return 0, errors.New("no values to choose from")
	}
	best := 0
	for i, b := range values {
		if bytes.Compare(b, values[best]) > 0 {
			best = i
		}
	}
	return best, nil
}

// signedNamespaces are those that every node knows: their keys end in a peer ID,
// as bytes, and their values prove that they are that peer's.
var signedNamespaces = []string{"pk", "ipns"}

// checkNamespaces refuses names that -namespace cannot have.
func checkNamespaces(names []string) error {
	var errs []error
	for _, name := range names {
		switch {
		case name == "" || strings.Contains(name, "/"):
			errs = append(errs, fmt.Errorf("-namespace %q: for keys like /app/greeting give the name without slashes, app", name))
		case slices.Contains(signedNamespaces, name):
			errs = append(errs, fmt.Errorf("-namespace %s: every node knows it already, with a validator of its own; choose another name", name))
		}
	}
	return errors.Join(errs...)
}

// valueKey is a key as people write it: /NAMESPACE/NAME.
type valueKey struct {
	text      string
	namespace string
	routing   string // as the router wants it
}

// parseValueKey reads a key. The names of signed namespaces are peer IDs in one
// of their text forms.
func parseValueKey(text string) (valueKey, error) {
	k := valueKey{text: text, routing: text}
	rest, ok := strings.CutPrefix(text, "/")
	namespace, name, more := strings.Cut(rest, "/")
	if !ok || !more || namespace == "" || name == "" {
		return k, fmt.Errorf("key %q: write it as /NAMESPACE/NAME, such as /app/greeting", text)
	}
	k.namespace = namespace
	if !slices.Contains(signedNamespaces, namespace) {
		return k, nil
	}
	id, err := peer.Decode(name)
	if err != nil {
		return k, fmt.Errorf("key %s: %w; what follows /%s/ is a peer ID, like those that \"pastry info\" prints", text, err, namespace)
	}
	k.routing = "/" + namespace + "/" + string(id)
	return k, nil
}
