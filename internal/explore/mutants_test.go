package explore

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var withMutants = flag.Bool("mutants", false, "change rules of the core one by one and see that a search finds out")

// mutants are changes that take a rule out of the core, and the search that must find
// out. The text that is replaced must occur once.
var mutants = []struct {
	name     string
	file     string
	from, to string
	search   string
}{
	{"a lease is good at any age", "join.go",
		"age <= limit && age < Time(n.cfg.GrantLease)*9/10", "age >= 0 && limit > 0", "an old lease"},
	{"a lease is good for longer than a death takes to find", "join.go",
		"limit := Time(n.cfg.MinProbeTimeout) + 2*", "limit := Time(2*n.cfg.MinProbeTimeout) + 4*", "a lease outlived by its giver's death"},
	{"who has announced itself is no leaf yet", "nexthop.go",
		"range n.leafProbes {", "range n.leafProbes[:0] {", "announced when the one between dies"},
	{"who is bypassed does not look", "repair.go",
		"		n.bypassed(p.c.ID)\n", "", "the right neighbour is not told of a death"},
	{"who is missing in an answer is not probed", "suspicion.go",
		"	if len(named) == 0 {\n", "	if len(named) >= 0 {\n", "one farther off is not told of a death"},
	{"a place is taken back although the grant was renewed", "grant.go",
		"g.to == p.c.ID && g.until > n.now {", "g.to == p.c.ID && g.until > n.now && false {", "an overdue grant"},
	{"one silent probe after a silent message is death", "suspicion.go",
		"t.to.probe.limit = max(1, n.enoughTries()-1)", "t.to.probe.limit = 1", "an answer that is not acknowledged"},
	{"the lost are not looked for", "merge.go",
		"	all := append(slices.Clone(n.lost), n.join.seeds...)\n", "	var all []*Contact\n", "four that were split"},
	{"any joiner may found a ring", "seek.go",
		"boolToInt(p.c.ID.Less(n.self.ID))", "boolToInt(p.c.ID.Less(p.c.ID))", "three without a ring"},
}

// TestMutants sees that each of mutants is found out by the search named. It compiles
// the core for each, changed by an overlay: no file of the tree is.
func TestMutants(t *testing.T) {
	if !*withMutants {
		t.Skip("compiles the core once for each mutant; -mutants asks for it")
	}
	for _, tt := range mutants {
		t.Run(tt.name, func(t *testing.T) {
			out, err := exec.Command("go", "test", "-count=1", "-overlay", mutate(t, tt.file, tt.from, tt.to),
				"-run", "TestSearch/^"+regexp.QuoteMeta(strings.ReplaceAll(tt.search, " ", "_"))+"$", ".").CombinedOutput()
			broken := regexp.MustCompile("broken after .*").Find(out)
			switch {
			case broken != nil && err != nil:
				t.Logf("%s: %s", tt.search, broken)
			case err == nil && !strings.Contains(string(out), "no tests to run"):
				t.Errorf("%q does not find out", tt.search)
			default:
				t.Fatalf("%q does not run: %v\n%s", tt.search, err, out)
			}
		})
	}
}

// mutate writes an overlay in which one text of a file of the core is replaced, and
// returns its path.
func mutate(t *testing.T, file, from, to string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", file))
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(src), from); n != 1 {
		t.Fatalf("%s has %q %d times, want once", file, from, n)
	}
	dir := t.TempDir()
	changed, overlay := filepath.Join(dir, file), filepath.Join(dir, "overlay.json")
	table, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{changed: []byte(strings.Replace(string(src), from, to, 1)), overlay: table} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return overlay
}
