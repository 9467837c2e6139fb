package figure

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"gonum.org/v1/plot"
)

// labels returns those of the labelled ticks.
func labels(ticks []plot.Tick) []string {
	var out []string
	for _, t := range ticks {
		if t.Label != "" {
			out = append(out, t.Label)
		}
	}
	return out
}

func TestTicks(t *testing.T) {
	tests := []struct {
		name   string
		values []float64
		log    bool
		want   []string
	}{
		{"from zero", []float64{0, .5, 1}, false, []string{"0.0", "0.2", "0.4", "0.6", "0.8", "1.0"}},
		{"not from zero", []float64{1.25, 1.36}, false, []string{"1.26", "1.28", "1.30", "1.32", "1.34", "1.36"}},
		{"few whole numbers", []float64{1, 3, 6}, false, []string{"0", "1", "2", "3", "4", "5", "6"}},
		{"thousands", []float64{0, 10_000}, false, []string{"0", "2,000", "4,000", "6,000", "8,000", "10,000"}},
		{"below zero", []float64{-1.5, 1.5}, false, []string{"-1.5", "-1.0", "-0.5", "0.0", "0.5", "1.0", "1.5"}},
		{"all the same", []float64{40.5}, false, []string{"38", "40", "42", "44"}},
		{"only zero", []float64{0}, false, []string{"0", "1"}},
		{"decades", []float64{1000, 100_000}, true, []string{"1,000", "2,000", "5,000", "10,000", "20,000", "50,000", "100,000"}},
		{"minutes", []float64{5, 600}, true, []string{"5", "10", "20", "50", "100", "200", "500"}},
		{"many decades", []float64{1e-6, 1}, true, []string{"1e-6", "1e-5", "1e-4", "0.001", "0.01", "0.1", "1"}},
		{"millionths", []float64{1e-6, 3e-5}, true, []string{"1e-6", "2e-6", "5e-6", "1e-5", "2e-5"}},
		{"zero on a logarithmic axis", []float64{0, 1e-5, 1e-3}, true, []string{"0", "1e-6", "1e-5", "1e-4", "0.001"}},
		{"only zero on a logarithmic axis", []float64{0}, true, []string{"0", "0.1", "0.2", "0.5", "1", "2", "5", "10"}},
		{"one value on a logarithmic axis", []float64{1000}, true, []string{"500", "600", "700", "800", "900", "1,000", "2,000"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := yAxis(tt.values, tt.log, false)
			if tt.name == "not from zero" || tt.name == "all the same" {
				a = xAxis(tt.values, tt.log, barGroup{})
			}
			if diff := cmp.Diff(labels(a.ticks()), tt.want); diff != "" {
				t.Errorf("from %g to %g, got(-) want(+):\n%s", a.min, a.max, diff)
			}
			for _, v := range tt.values {
				if at := a.clamp(v); at < a.min || at > a.max {
					t.Errorf("%g has no place from %g to %g", v, a.min, a.max)
				}
			}
		})
	}
}

func TestThousands(t *testing.T) {
	for in, want := range map[string]string{"0": "0", "999": "999", "1000": "1,000", "-1234567.25": "-1,234,567.25", "0.0001": "0.0001"} {
		if got := thousands(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}
