package interop_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/secondbit/pastry/interop"
	"github.com/secondbit/pastry/testutil"
)

const (
	beginTable = "<!-- begin table -->\n"
	endTable   = "<!-- end table -->"
)

// The table in docs/conformance.md is that of this router, which passes every
// case, as TestPastry shows, and of what testdata has of kad-dht.
func TestDocument(t *testing.T) {
	golden, err := os.ReadFile(filepath.Join("testdata", "kad-dht.txt"))
	if err != nil {
		t.Fatal(err)
	}
	outcomes := interop.Outcomes(string(golden))
	var ours, theirs []testutil.Result
	for _, c := range testutil.Cases() {
		if outcomes[c.Name] == "" {
			t.Errorf("testdata/kad-dht.txt has no case %q", c.Name)
		}
		ours = append(ours, testutil.Result{Case: c, Outcome: testutil.Passed})
		theirs = append(theirs, testutil.Result{Case: c, Outcome: outcomes[c.Name]})
	}
	want := interop.Markdown([]string{interop.Pastry().Name, interop.KadDHT().Name}, [][]testutil.Result{ours, theirs})

	document := filepath.Join("..", "docs", "conformance.md")
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), beginTable)
	got, after, ok2 := strings.Cut(rest, endTable)
	if !ok || !ok2 {
		t.Fatalf("%s has no %q and %q around a table", document, beginTable, endTable)
	}
	if *update {
		got = want
		if err := os.WriteFile(document, []byte(before+beginTable+want+endTable+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the table in %s (-cases +document); go test . -run TestDocument -update writes it:\n%s", document, diff)
	}
}
