// Package experiment holds the experiments that the simulator is put to: each
// builds a ring of real state machines in virtual time, does something to it,
// and reports what it measured.
package experiment
