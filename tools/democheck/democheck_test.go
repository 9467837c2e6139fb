package main

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
)

// good is a run without fault.
var good = report{
	"nodes": 32, "joined": 32, "join_ms_p50": 41.5, "join_ms_max": 1999.9,
	"routed": 1000, "delivered_at_root": 1000, "mean_hops": 1.1, "provided": 60, "found": 60,
	"killed": 8, "routed_after": 1000, "delivered_after": 1000, "found_after": 60,
}

func TestVerify(t *testing.T) {
	if err := good.verify(); err != nil {
		t.Errorf("a run without fault: %v", err)
	}
	tests := []struct {
		name  string
		value float64
		want  string
	}{
		{"nodes", 31, "nodes is 31, want 32"},
		{"joined", 31, "joined is 31, want 32 as nodes"},
		{"join_ms_max", 2000, "join_ms_max is 2000, want under 2000"},
		{"delivered_at_root", 999, "delivered_at_root is 999, want 1000 as routed"},
		{"delivered_after", 999, "delivered_after is 999, want 1000 as routed_after"},
		{"found", 59, "found is 59, want 60 as provided"},
		{"found_after", 59, "found_after is 59, want 60 as provided"},
		{"killed", 0, "killed is 0, want 8"},
		{"routed", 0, "routed is 0: nothing was tried"},
		{"routed_after", 0, "routed_after is 0: nothing was tried"},
		{"provided", 0, "provided is 0: nothing was tried"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := maps.Clone(good)
			r[tt.name] = tt.value
			err := r.verify()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestRead(t *testing.T) {
	whole, err := json.Marshal(good)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, in, want string
	}{
		{"whole", string(whole), ""},
		{"members of other kinds", strings.Replace(string(whole), "{", `{"seed":"7","errors":[],`, 1), ""},
		{"empty", "", "not a JSON object"},
		{"not an object", "[1]", "not a JSON object"},
		{"two objects", string(whole) + string(whole), "more on standard input"},
		{"one missing", strings.Replace(string(whole), `"killed"`, `"other"`, 1), `no number "killed"`},
		{"one not a number", strings.Replace(string(whole), `"found":60`, `"found":null`, 1), `no number "found"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := read(strings.NewReader(tt.in))
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("got error %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
