package experiment

import (
	"runtime/debug"
	"testing"
)

func TestHighWater(t *testing.T) {
	for _, tt := range []struct {
		name, status string
		want         uint64
	}{
		{"present", "Name:\tpastry\nVmHWM:\t   12 kB\nVmRSS:\t    8 kB\n", 12 << 10},
		{"absent", "Name:\tpastry\n", 0},
		{"no file", "", 0},
		{"no number", "VmHWM:\tmuch\n", 0},
	} {
		if got := highWater([]byte(tt.status)); got != tt.want {
			t.Errorf("%s: %d bytes, want %d", tt.name, got, tt.want)
		}
	}
	if got := PeakMemory(); got < 1<<20 {
		t.Errorf("the peak is %d bytes", got)
	}
}

func TestGCPercent(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(70))
	if got := gcPercent(); got != 70 {
		t.Errorf("the collector's setting is %d%%, want 70%%", got)
	}
}
