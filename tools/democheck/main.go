// Democheck reads the JSON that "pastry demo -json" prints from standard input
// and verifies that nobody was left out and nothing was lost. It prints what
// it read in one line and every fault in a line of its own; the exit status is
// 1 if there is a fault.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

func main() {
	r, err := read(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, "democheck:", err)
		os.Exit(1)
	}
	fmt.Println(r)
	if err := r.verify(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// A report holds the numbers of the demo by name.
type report map[string]float64

// required lists the names a report must have.
var required = []string{
	"nodes", "joined", "join_ms_p50", "join_ms_max",
	"routed", "delivered_at_root", "mean_hops", "provided", "found",
	"killed", "routed_after", "delivered_after", "found_after",
}

// read decodes exactly one JSON object. Members that are not numbers are
// passed over; it is an error if one of the required names has no number.
func read(in io.Reader) (report, error) {
	var members map[string]any
	dec := json.NewDecoder(in)
	if err := dec.Decode(&members); err != nil {
		return nil, fmt.Errorf("not a JSON object: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("more on standard input than one JSON object")
	}
	r := make(report)
	for name, v := range members {
		if n, ok := v.(float64); ok {
			r[name] = n
		}
	}
	var faults []error
	for _, name := range required {
		if _, ok := r[name]; !ok {
			faults = append(faults, fmt.Errorf("no number %q", name))
		}
	}
	return r, errors.Join(faults...)
}

// verify returns every way in which the run falls short.
func (r report) verify() error {
	const (
		nodes     = 32
		killed    = 8
		joinMSMax = 2000 // exclusive
	)
	var faults []error
	equal := func(name string, want float64, why string) {
		if got := r[name]; got != want {
			faults = append(faults, fmt.Errorf("%s is %v, want %v%s", name, got, want, why))
		}
	}
	equal("nodes", nodes, "")
	equal("killed", killed, "")
	for _, p := range [][2]string{
		{"joined", "nodes"},
		{"delivered_at_root", "routed"},
		{"delivered_after", "routed_after"},
		{"found", "provided"},
		{"found_after", "provided"},
	} {
		equal(p[0], r[p[1]], " as "+p[1])
	}
	for _, name := range []string{"routed", "routed_after", "provided"} {
		if got := r[name]; got <= 0 {
			faults = append(faults, fmt.Errorf("%s is %v: nothing was tried", name, got))
		}
	}
	if got := r["join_ms_max"]; got >= joinMSMax {
		faults = append(faults, fmt.Errorf("join_ms_max is %v, want under %v", got, joinMSMax))
	}
	return errors.Join(faults...)
}

// String returns the required numbers in one line.
func (r report) String() string {
	line := "demo:"
	for _, name := range required {
		line += fmt.Sprintf(" %s=%v", name, r[name])
	}
	return line
}
