package records

import (
	"errors"
	"testing"
	"time"
)

func TestValueVersion(t *testing.T) {
	for _, test := range []struct {
		name    string
		data    string
		expires time.Time
		want    uint64
	}{
		{"data", "data", start, 0x143a674b04a04038},
		{"empty", "", time.UnixMilli(0), 0xaf5570f5a1810b7a}, // of eight zeros
		{"before 1970", "", time.UnixMilli(-5), 0xaf5570f5a1810b7a},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := ValueVersion([]byte(test.data), test.expires); got != test.want {
				t.Errorf("got %#x, want %#x", got, test.want)
			}
		})
	}
}

func TestReplaces(t *testing.T) {
	for _, test := range []struct {
		name      string
		held, new *Record
		outdated  string
		want      bool
		err       error
	}{
		{"better", value("k", "1", 9), value("k", "2", 1), "", true, nil},
		{"worse", value("k", "2", 9), value("k", "1", 99), "", false, ErrStale},
		{"equal, the bytes decide", value("k", "2a", 9), value("k", "2b", 9), "", true, nil},
		{"equal, the bytes decide as well", value("k", "2b", 9), value("k", "2a", 9), "", false, ErrStale},
		{"same, later", value("k", "1", 9), value("k", "1", 10), "", true, nil},
		{"same, earlier", value("k", "1", 9), value("k", "1", 8), "", false, nil},
		{"same", value("k", "1", 9), value("k", "1", 9), "", false, nil},
		{"worse than an outdated one", value("k", "2", 9), value("k", "1", 9), "2", true, nil},
		{"than an invalid one", value("k", "", 9), value("k", "1", 9), "", true, nil},
		{"invalid", value("k", "1", 9), value("k", "", 9), "", false, ErrInvalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := replaces(&rank{test.outdated}, test.held, test.new)
			if got != test.want || !errors.Is(err, test.err) {
				t.Errorf("got %t, %v, want %t, %v", got, err, test.want, test.err)
			}
		})
	}
}
