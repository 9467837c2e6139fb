// Package records keeps the records a member holds for others: what may be in
// them, and for how long. It has no goroutine, clock or lock; time is an
// argument.
package records0
