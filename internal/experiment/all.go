package experiment

import "slices"

// All returns every experiment.
func All() []Experiment { return slices.Concat(static, churn, durable) }
