// Package sweep is the timetable by which a node announces again, once in a
// cycle, what it provides: the keys in the order of the ring, spread evenly over
// the cycle.
//
// It holds no keys and reads no clock. As position and wall time determine each
// other, one point in time says what has been done: it is all that a node has to
// remember over a restart.
package sweep
