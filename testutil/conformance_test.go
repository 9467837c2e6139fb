package testutil_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/secondbit/pastry/testutil"
)

// outcome runs one case on fakes with a fault, in virtual time.
func outcome(t *testing.T, c testutil.Case, f fault) (r testutil.Result) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		nw, err := testutil.NewNetwork(testutil.NetworkConfig{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer nw.Close()
		leak := make(chan struct{})
		defer close(leak)
		r = c.Run(t.Context(), fakes(nw, f, leak))
	})
	return r
}

// A router that keeps the contract passes. What the hosts of a network lack, and
// what a router may lack, skips a case.
func TestConformanceOfFake(t *testing.T) {
	for _, c := range testutil.Cases() {
		t.Run(strings.ReplaceAll(c.Name, "/", ":"), func(t *testing.T) {
			want := testutil.Passed
			if c.Name == "FindPeer/limited" {
				want = testutil.Skipped // a Network has no relayed connections
			}
			if got := outcome(t, c, ""); got.Outcome != want {
				t.Errorf("got %s (%s), want %s", got.Outcome, got.Reason, want)
			}
		})
	}
}

// A router that breaks a clause fails the case of that clause.
func TestConformanceFindsFaults(t *testing.T) {
	tests := map[fault][]string{
		"announces always":         {"Provide/local only"},
		"works after Close":        {"Close/later calls", "Ready/closed"},
		"ignores the context":      {"Provide/cancelled", "GetValue/cancelled", "FindPeer/cancelled", "PutValue/cancelled"},
		"finds twice":              {"FindProvidersAsync/once", "Provide/again"},
		"ignores the count":        {"FindProvidersAsync/count"},
		"finds no addresses":       {"FindProvidersAsync/addresses", "FindProvidersAsync/own"},
		"sends regardless":         {"FindProvidersAsync/unread", "Close/under way"},
		"forgets clients":          {"FindPeer/client"},
		"wraps ErrNotFound":        {"FindPeer/unknown", "GetValue/missing"},
		"takes any namespace":      {"PutValue/namespace", "GetValue/namespace", "SearchValue/namespace"},
		"takes worse values":       {"PutValue/worse"},
		"keeps the caller's slice": {"GetValue/copy"},
		"gives expired values":     {"GetValue/expired", "SearchValue/expired"},
		"ignores Offline":          {"GetValue/offline"},
		"gives worse values":       {"SearchValue/stale"},
		"repairs nothing":          {"GetValue/repair"},
		"asks silently":            {"query events/FindProvidersAsync", "query events/FindPeer", "query events/GetValue"},
		"searches in vain":         {"SearchValue/missing"},
		"bootstraps members only":  {"Bootstrap/idle"},
		"provides one of many":     {"ProvideMany/found"},
		"closes once":              {"Close/idempotent"},
		"leaks":                    {"Close/goroutines", "Close/unused"},
		"panics":                   {"GetValue/missing"},
		"hangs":                    {"GetValue/missing", "GetValue/cancelled"},
	}
	cases := testutil.Cases()
	for f, names := range tests {
		for _, name := range names {
			t.Run(string(f)+":"+strings.ReplaceAll(name, "/", ":"), func(t *testing.T) {
				i := slices.IndexFunc(cases, func(c testutil.Case) bool { return c.Name == name })
				if i < 0 {
					t.Fatal("there is no such case")
				}
				got := outcome(t, cases[i], f)
				if got.Outcome != testutil.Failed || got.Reason == "" {
					t.Errorf("got %s, want %s for a reason", got.Outcome, testutil.Failed)
				}
			})
		}
	}
}

// A case that needs what the subject does not have is skipped.
func TestConformanceSkips(t *testing.T) {
	for _, c := range testutil.Cases() {
		if !strings.HasSuffix(c.Name, "/client") {
			continue
		}
		if got := outcome(t, c, "no clients"); got.Outcome != testutil.Skipped {
			t.Errorf("%s: got %s (%s), want %s", c.Name, got.Outcome, got.Reason, testutil.Skipped)
		}
	}
}

// Every case has a name of its own and says what it checks.
func TestConformanceNames(t *testing.T) {
	seen := make(map[string]bool)
	for _, c := range testutil.Cases() {
		if c.Name == "" || c.Checks == "" || seen[c.Name] {
			t.Errorf("case %q, which checks %q, is not told apart from others", c.Name, c.Checks)
		}
		seen[c.Name] = true
	}
}
