package experiment

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestTimeLeft goes through three stages of which two are expected: the second costs
// four times as much as the first.
func TestTimeLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got time.Duration
		p := &Progress{Update: func(_ string, _ float64, left time.Duration) { got = left }}
		after := func(d time.Duration, share float64, want time.Duration) {
			t.Helper()
			time.Sleep(d)
			if p.Done(share); got != want {
				t.Errorf("at %g of %q %v are left, want %v", share, p.stage, got, want)
			}
		}
		p.Expect(1, 4)
		p.Stage("join")
		after(0, 0, 0)
		after(10*time.Second, 0.5, 90*time.Second)
		after(10*time.Second, 1, 80*time.Second)
		p.Stage("settle")
		after(0, 0, 0)
		after(20*time.Second, 0.25, time.Minute)
		after(time.Minute, 1, 0)
		p.Stage("look")
		after(3*time.Second, 0.5, 3*time.Second)
	})
}
