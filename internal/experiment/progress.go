package experiment

import "time"

// Progress tells how far a run is. Its methods may be called on nil.
type Progress struct {
	// Update, if set, is called at most about ten times a second, from the
	// goroutine that runs.
	Update func(stage string, done float64, left time.Duration)

	stage string
	began time.Time
	last  time.Time
}

// Stage begins a part of the run, such as "5,000 nodes join".
func (p *Progress) Stage(name string) {
	if p == nil {
		return
	}
	p.stage, p.began, p.last = name, time.Now(), time.Time{}
	p.Done(0)
}

// Done tells the share of the stage that is done, 0 to 1. The time left is
// estimated from it.
func (p *Progress) Done(share float64) {
	if p == nil || p.Update == nil {
		return
	}
	now := time.Now()
	if share < 1 && now.Sub(p.last) < 100*time.Millisecond {
		return
	}
	p.last = now
	var left time.Duration
	if share > 0 {
		left = time.Duration(float64(now.Sub(p.began)) * (1 - share) / share)
	}
	p.Update(p.stage, share, left)
}
