package sim_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secondbit/pastry/internal/sim"
)

const threeSites = `# round trips
site,   Paris, Tokyo, "Quito, Ecuador"

Paris,      2,   230,   160
# there and back
Tokyo,    228,      ,
"Quito, Ecuador",    160,   190.5,     1
`

func TestReadMatrix(t *testing.T) {
	topology, err := sim.ReadMatrix("three", strings.NewReader(threeSites))
	check(t, err)
	ms := func(v float64) time.Duration { return time.Duration(v * float64(time.Millisecond)) }
	want := [3][3]time.Duration{
		{ms(1), ms(114.5), ms(80)},
		{ms(114.5), ms(0.5), ms(95.25)},
		{ms(80), ms(95.25), ms(0.5)},
	}
	for i := range want {
		for k := range want {
			a, b := sim.Place{Site: int32(i), Access: 1}, sim.Place{Site: int32(k), Access: 2}
			if got, want := topology.Delay(&a, &b), want[i][k]+3; got != want {
				t.Errorf("from site %d to %d it takes %v, want %v", i, k, got, want)
			}
		}
	}
}

func TestReadMatrixErrors(t *testing.T) {
	tests := []struct{ name, file, want string }{
		{"empty", "", "no line with the names of sites"},
		{"comments alone", "# site,a\n\n", "no line with the names of sites"},
		{"no sites", "site\n", "line 1, column 1: 0 sites, must be 1 to 4096"},
		{"nameless site", "site,a,\n", "line 1, column 8: site without a name"},
		{"site twice", "site,a,b,a\n", `line 1, column 10: second site "a"`},
		{"line missing", "site,a,b\na,1,2\n", `no line for "b"`},
		{"lines swapped", "site,a,b\n\nb,1,2\na,1,2\n", `line 3, column 1: line is for "b", want "a"`},
		{"line too many", "site,a\na,1\nb,1\n", `line 3, column 1: line for "b" after the last site`},
		{"value missing", "site,a,b\na,1\nb,1,1\n", "line 2, column 3: 1 round trips, want 2"},
		{"value too many", "site,a,b\na,1,2,3\nb,1,1\n", "line 2, column 7: 3 round trips, want 2"},
		{"no number", "site,a,b\na,1,fast\nb,1,1\n", `line 2, column 5: round trip "fast", must be a number of milliseconds above 0, at most 60000`},
		{"zero", "site,a,b\na,1,0\nb,1,1\n", `line 2, column 5: round trip "0", must be`},
		{"negative", "site,a,b\na,1,-3\nb,1,1\n", `line 2, column 5: round trip "-3", must be`},
		{"not a number", "site,a,b\na,1,NaN\nb,1,1\n", `line 2, column 5: round trip "NaN", must be`},
		{"too long", "site,a,b\na,1,1e9\nb,1,1\n", `line 2, column 5: round trip "1e9", must be`},
		{"neither direction", "site,a,b\na,1,\nb,,1\n", `no round trip between "a" and "b"`},
		{"stray quote", "site,a\na\",1\n", `line 2, column 2: bare "`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := sim.ReadMatrix("file.csv", strings.NewReader(tt.file))
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "topology file.csv: ") {
				t.Errorf("error is %v, want %q", err, tt.want)
			}
		})
	}
}

// TestRegionsFile holds the delays of the shipped file against what it was made
// from.
func TestRegionsFile(t *testing.T) {
	topology := open(t, "regions")
	const dallas, osaka, tokyo, saoPaulo = 0, 6, 8, 9
	tests := []struct {
		from, to int32
		want     time.Duration
	}{
		{dallas, dallas, time.Millisecond},
		{osaka, tokyo, 4500 * time.Microsecond},
		{saoPaulo, tokyo, 142500 * time.Microsecond},
	}
	for _, tt := range tests {
		if got := topology.Delay(&sim.Place{Site: tt.from}, &sim.Place{Site: tt.to}); got != tt.want {
			t.Errorf("from site %d to %d it takes %v, want %v", tt.from, tt.to, got, tt.want)
		}
	}
	seen := make(map[int32]int)
	for _, p := range places(topology, 1000) {
		seen[p.Site]++
	}
	for site, n := range seen {
		if len(seen) != 10 || n < 60 || n > 150 {
			t.Errorf("site %d of %d has %d nodes of 1000", site, len(seen), n)
		}
	}
}

func TestOpenMatrixFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sites.csv")
	check(t, os.WriteFile(path, []byte(threeSites), 0o600))
	open(t, path)
}

// FuzzReadMatrix lets the parser read anything. What it takes is symmetric, and
// no delay is zero or longer than allowed.
func FuzzReadMatrix(f *testing.F) {
	f.Add(threeSites)
	f.Add("site,a\na,1\n")
	f.Add("site,a,b\na,,2\nb,1,\"1\"\n")
	f.Add("#\nsite,\"a\nb\",c\n\"a\nb\",1,2\nc,1,1e-9\n")
	f.Fuzz(func(t *testing.T, file string) {
		topology, err := sim.ReadMatrix("fuzz", strings.NewReader(file))
		if err != nil {
			return
		}
		for i := range int32(strings.Count(file, ",") + 1) {
			a := sim.Place{Site: i, Access: 1}
			b := sim.Place{Access: 1}
			if !sim.HasSite(topology, i) {
				return
			}
			d := topology.Delay(&a, &b)
			if d != topology.Delay(&b, &a) || d <= 0 || d > 31*time.Second {
				t.Errorf("delay between sites %d and 0 is %v, back %v", i, d, topology.Delay(&b, &a))
			}
		}
	})
}
