package testutil

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// ranksNamespace is where the suite keeps its values.
const ranksNamespace = "conformance"

var (
	errNoRank  = errors.New("the value has no rank")
	errExpired = errors.New("the value has expired")
)

// ranked returns a value of a rank.
func ranked(rank int, text string) []byte { return fmt.Appendf(nil, "%d:%s", rank, text) }

// rankOf returns the rank of a value, or an error if it has none.
func rankOf(value []byte) (int, error) {
	digits, _, ok := strings.Cut(string(value), ":")
	rank, err := strconv.Atoi(digits)
	if !ok || err != nil {
		return 0, errNoRank
	}
	return rank, nil
}

// ranks is the validator of one router. A value starts with its rank, "7:", and
// the largest rank is the best. Values expire when a case says so, for the
// routers it names.
type ranks struct {
	mu      sync.Mutex // guards what follows
	expired map[string]bool
	judged  map[string]int // how often Validate took the value
}

// Validate returns an error unless the value has a rank and has not expired.
func (v *ranks) Validate(key string, value []byte) error {
	if !strings.HasPrefix(key, "/"+ranksNamespace+"/") {
		return fmt.Errorf("key %q is not of this namespace", key)
	}
	if _, err := rankOf(value); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.expired[string(value)] {
		return errExpired
	}
	if v.judged == nil {
		v.judged = make(map[string]int)
	}
	v.judged[string(value)]++
	return nil
}

// Select returns the index of the first value of the largest rank.
func (v *ranks) Select(_ string, values [][]byte) (int, error) {
	best, at := 0, -1
	for i, value := range values {
		if rank, err := rankOf(value); err == nil && (at < 0 || rank > best) {
			best, at = rank, i
		}
	}
	if at < 0 {
		return 0, errNoRank
	}
	return at, nil
}

// expire makes v refuse a value from now on, or take it again.
func (v *ranks) expire(value []byte, yes bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.expired == nil {
		v.expired = make(map[string]bool)
	}
	v.expired[string(value)] = yes
}

// took returns how often v took a value.
func (v *ranks) took(value []byte) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.judged[string(value)]
}

// expire makes a value expire everywhere.
func (k *check) expire(value []byte) {
	for _, v := range k.ranks {
		v.expire(value, true)
	}
}

// key returns a key that has no value.
func (k *check) key() string { return "/" + ranksNamespace + "/" + k.number() }

// increasing returns an error unless every value is better than the one before.
func increasing(values [][]byte) error {
	for i := 1; i < len(values); i++ {
		a, errA := rankOf(values[i-1])
		b, errB := rankOf(values[i])
		if errA != nil || errB != nil || b <= a {
			return fmt.Errorf("%q came after %q", values[i], values[i-1])
		}
	}
	return nil
}

// last returns the last value, nil if there is none.
func last(values [][]byte) []byte {
	if len(values) == 0 {
		return nil
	}
	return bytes.Clone(values[len(values)-1])
}
