package figure

import (
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
)

// axis is the range of values that a figure shows in one direction.
type axis struct {
	min, max float64
	log      bool
	zero     bool // log, and the lower end stands for everything up to zero
	whole    bool // all values are whole numbers
}

// newAxis returns the axis on which all values, of which there is one at least, have
// a place.
func newAxis(values []float64, log bool) axis {
	a := axis{log: log, whole: len(values) > 0, min: math.Inf(1), max: math.Inf(-1)}
	for _, v := range values {
		a.whole = a.whole && v == math.Trunc(v)
		if log && v <= 0 {
			a.zero = true
			continue
		}
		a.min, a.max = min(a.min, v), max(a.max, v)
	}
	if math.IsInf(a.min, 1) { // nothing but zero on a logarithmic axis
		a.min, a.max = 1, 10
	}
	return a
}

// widenLog leaves room at both ends, and a place for zero if it is needed.
func (a *axis) widenLog() {
	margin := math.Pow(a.max/a.min, 0.04)
	if a.min == a.max {
		margin = 2
	}
	a.min, a.max = a.min/margin, a.max*margin
	if a.zero {
		a.min = math.Pow10(int(math.Floor(math.Log10(a.min)))) / 2
	}
}

// widen leaves room above, and below unless the axis begins at zero. It does with
// from0, and when that makes the range at most twice as long.
func (a *axis) widen(from0 bool) {
	if a.min >= 0 && (from0 || a.min <= 0.5*a.max) {
		a.min = 0
		a.max *= 1.06
		if a.max == 0 {
			a.max = 1
		}
		return
	}
	a.pad(0.08)
}

// pad leaves room at both ends, a share of the range, but none below zero for the
// sake of room alone.
func (a *axis) pad(share float64) {
	room := share * (a.max - a.min)
	if room == 0 {
		room = max(0.1*math.Abs(a.max), 0.5)
	}
	low := a.min - room
	if a.min >= 0 {
		low = max(0, low)
	}
	a.min, a.max = low, a.max+room
}

// clamp returns the value at whose place v is drawn: on a logarithmic axis
// everything up to zero is at the lower end.
func (a *axis) clamp(v float64) float64 {
	if a.log && v < a.min {
		return a.min
	}
	return v
}

// apply makes the axis of a plot this one.
func (a *axis) apply(p *plot.Axis) {
	p.Min, p.Max = a.min, a.max
	if a.log {
		p.Scale = plot.LogScale{}
	}
	p.Tick.Marker = plot.ConstantTicks(a.ticks())
}

func (a *axis) ticks() []plot.Tick {
	if a.log {
		return a.logTicks()
	}
	return a.linearTicks()
}

// logTicks returns a tick for each of 1 to 9 in every decade. Labelled are the
// powers of ten, and with few decades also twos and fives.
func (a *axis) logTicks() []plot.Tick {
	var ticks []plot.Tick
	decades := math.Log10(a.max / a.min)
	lowest := a.min
	if a.zero {
		ticks = append(ticks, plot.Tick{Value: a.min, Label: "0"})
		lowest *= 1.9
	}
	stride := 1 + int(decades/9) // decades from label to label
	for e := int(math.Floor(math.Log10(lowest))); e <= int(math.Ceil(math.Log10(a.max))); e++ {
		for digit := 1; digit <= 9; digit++ {
			v := float64(digit) * math.Pow10(e)
			if v < lowest || v > a.max {
				continue
			}
			t := plot.Tick{Value: v}
			if digit == 1 && e%stride == 0 || decades < 3.2 && (digit == 2 || digit == 5) || decades < 0.7 {
				t.Label = label(v)
			}
			ticks = append(ticks, t)
		}
	}
	return ticks
}

// linearTicks returns about six labelled ticks at 1, 2 or 5 times a power of ten,
// and none between whole numbers where all values are such.
func (a *axis) linearTicks() []plot.Tick {
	step := niceStep((a.max - a.min) / 7)
	if a.whole {
		if a.max-a.min <= 16 {
			step = 1
		}
		step = max(step, 1)
	}
	var ticks []plot.Tick
	decimals := max(0, -int(math.Floor(math.Log10(step)+1e-9)))
	for i := math.Ceil(a.min/step - 1e-9); i*step <= a.max*(1+1e-12); i++ {
		v := i*step + 0 // no negative zero
		text := strconv.FormatFloat(v, 'f', decimals, 64)
		if step >= 1e6 || step < 1e-4 {
			text = label(v)
		}
		ticks = append(ticks, plot.Tick{Value: v, Label: thousands(text)})
	}
	return ticks
}

// niceStep returns the smallest of 1, 2 and 5 times a power of ten that is at least
// v, which is positive.
func niceStep(v float64) float64 {
	power := math.Pow10(int(math.Floor(math.Log10(v))))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= v*(1-1e-9) {
			return m * power
		}
	}
	return 10 * power
}

// label returns a tick's number for people: 0.001, 20, 100,000, 1e-05.
func label(v float64) string {
	if v != 0 && (math.Abs(v) >= 1e7 || math.Abs(v) < 0.9e-3) {
		rounded, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'e', 6, 64), 64)
		mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(rounded, 'e', -1, 64), "e")
		e, _ := strconv.Atoi(exponent)
		return mantissa + "e" + strconv.Itoa(e)
	}
	return thousands(strconv.FormatFloat(v, 'g', 7, 64))
}

// thousands puts commas into the whole part of a number.
func thousands(s string) string {
	whole, rest := s, ""
	if i := strings.IndexByte(s, '.'); i >= 0 {
		whole, rest = s[:i], s[i:]
	}
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	return sign + whole + rest
}
