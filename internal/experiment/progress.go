package experiment

import "time"

// Progress tells how far a run is. Its methods may be called on nil.
type Progress struct {
	// Update, if set, is called at most about ten times a second, from the goroutine
	// that runs, with the share of the stage that is done and an estimate of the time
	// that is left of the run, zero as long as there is none.
	Update func(stage string, done float64, left time.Duration)

	stage string
	start time.Time // of the run
	began time.Time // of the stage
	last  time.Time

	spent float64   // cost of the stages before
	cost  float64   // of this one
	later []float64 // of those to come
}

// Expect tells what the stages to come cost, each in relation to the others. What is
// not told costs nothing beside these.
func (p *Progress) Expect(costs ...float64) {
	if p != nil {
		p.later = costs
	}
}

// Stage begins a part of the run, such as "5,000 nodes join".
func (p *Progress) Stage(name string) {
	if p == nil {
		return
	}
	now := time.Now()
	if p.stage == "" {
		p.start = now
	}
	p.spent, p.cost = p.spent+p.cost, 0
	if len(p.later) > 0 {
		p.cost, p.later = p.later[0], p.later[1:]
	}
	p.stage, p.began, p.last = name, now, time.Time{}
	p.Done(0)
}

// Done tells the share of the stage that is done, 0 to 1.
func (p *Progress) Done(share float64) {
	if p == nil || p.Update == nil {
		return
	}
	now := time.Now()
	if share < 1 && now.Sub(p.last) < 100*time.Millisecond {
		return
	}
	p.last = now
	p.Update(p.stage, share, p.left(now, share))
}

// left estimates the time that is left: of the stage by its own pace, of those after
// it by the pace so far.
func (p *Progress) left(now time.Time, share float64) time.Duration {
	var left float64
	if share > 0 {
		left = float64(now.Sub(p.began)) * (1 - share) / share
	}
	if done := p.spent + share*p.cost; done > 0 {
		for _, cost := range p.later {
			left += float64(now.Sub(p.start)) * cost / done
		}
	}
	return time.Duration(left)
}
