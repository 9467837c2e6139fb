package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/secondbit/pastry/internal/experiment"
)

// toy is an experiment that measures nothing and takes no time.
type toy struct {
	seed   uint64
	nodes  int
	loss   float64
	keys   []string
	exact  bool
	faults []string
	hook   func(ctx context.Context, seed uint64, nodes int) error
}

func (r *toy) Flags(fs *pflag.FlagSet) {
	fs.IntVar(&r.nodes, "nodes", 10, "nodes")
	fs.Uint64Var(&r.seed, "seed", 1, "seed")
	fs.Float64Var(&r.loss, "loss", 0, "loss")
	fs.StringSliceVar(&r.keys, "keys", nil, "keys")
	fs.BoolVar(&r.exact, "exact", true, "exact")
}

func (r *toy) Check() error {
	if r.nodes < 1 {
		return fmt.Errorf("-nodes is %d", r.nodes)
	}
	return nil
}

func (r *toy) Run(ctx context.Context, p *experiment.Progress) (experiment.Report, error) {
	p.Stage("it runs")
	if r.hook != nil {
		if err := r.hook(ctx, r.seed, r.nodes); err != nil {
			return nil, err
		}
	}
	p.Done(1)
	h := experiment.Header{Experiment: "toy", Seed: r.seed, Nodes: r.nodes, LeafSet: 16, DigitBits: 4, Topology: "plane",
		Built: "joins", VirtualTime: 90, WallTime: 2, Events: 1234567, Packets: 5, Faults: r.faults}
	return &toyReport{Header: h, Loss: r.loss, Keys: r.keys, Sum: float64(r.nodes) * (1 + r.loss)}, nil
}

type toyReport struct {
	experiment.Header
	Loss float64  `json:"loss"`
	Keys []string `json:"keys,omitempty"`
	Sum  float64  `json:"sum"`
}

func (r *toyReport) Rows() []experiment.Row {
	rows := []experiment.Row{{Name: "sum", Value: fmt.Sprint(r.Sum)}}
	if r.Loss > 0 {
		rows = append(rows, experiment.Row{Name: "loss", Value: fmt.Sprint(r.Loss)})
	}
	paper := ""
	if r.Nodes == 10 {
		paper = "11"
	}
	return append(rows, experiment.Row{Name: "nodes | all", Value: fmt.Sprint(r.Nodes), Paper: paper})
}

func toyFigures(reports []experiment.Report) []experiment.Figure {
	f := experiment.Figure{Name: "sums", Title: "Sums", X: "nodes", Y: "sum", Series: []experiment.Series{{Name: "sum"}}}
	for _, r := range reports {
		f.Series[0].Points = append(f.Series[0].Points, experiment.Point{X: float64(r.Head().Nodes), Y: r.(*toyReport).Sum})
	}
	return []experiment.Figure{f, {Name: "nothing"}}
}

// toys is a set of experiments with one that calls hook in its run.
func toys(hook func(ctx context.Context, seed uint64, nodes int) error) []experiment.Experiment {
	return []experiment.Experiment{{Name: "toy", Short: "adds up", Long: "Toy adds up.",
		New:   func() experiment.Run { return &toy{hook: hook} },
		Blank: func() experiment.Report { return new(toyReport) }, Figures: toyFigures}}
}

// sim carries out a sim command with the given experiments and plan.
func sim(ctx context.Context, experiments []experiment.Experiment, plan []planEntry, args ...string) (status int, stdout, stderr string) {
	root := newRoot()
	for _, c := range root.Commands() {
		if c.Name() == "sim" {
			root.RemoveCommand(c)
		}
	}
	root.AddCommand(newSimCommand(experiments, plan))
	var out, errs bytes.Buffer
	status = execute(ctx, root, append([]string{"sim"}, args...), strings.NewReader(""), &out, &errs)
	return status, out.String(), errs.String()
}

// mustSim is sim for a command that must succeed, with toys.
func mustSim(t *testing.T, args ...string) string {
	t.Helper()
	status, stdout, stderr := sim(t.Context(), toys(nil), nil, args...)
	if status != 0 {
		t.Fatalf("pastry sim %v: exit status %d\n%s", args, status, stderr)
	}
	return stdout
}

func TestSimList(t *testing.T) {
	got := mustSim(t)
	for _, want := range []string{"toy   adds up\n", "all   run every", `"pastry sim EXPERIMENT -help"`} {
		if !strings.Contains(got, want) {
			t.Errorf("got\n%swant it to say %q", got, want)
		}
	}
	if status, stdout, _ := pastryCommand(t, "sim"); status != 0 || strings.Count(stdout, "\n") < len(experiment.All())+2 {
		t.Errorf("exit status %d, got\n%s", status, stdout)
	}
}

func TestSimTable(t *testing.T) {
	const want = `pastry sim toy -nodes 10 -seed 7
  10 nodes by joins, topology plane, b=4, L=16, seed 7; 1m30s of virtual time, 1,234,567 events, 5 packets

              measured   in the literature
sum         10
nodes | all   10         11
`
	// The command names no -nodes: ten is the default.
	got := mustSim(t, "toy", "-nodes", "10", "-seed", "7", "-quiet")
	if diff := cmp.Diff(strings.Fields(got), strings.Fields(strings.Replace(want, " -nodes 10", "", 1))); diff != "" {
		t.Errorf("got(-) want(+):\n%s", diff)
	}
}

func TestSimSweepTable(t *testing.T) {
	got := mustSim(t, "toy", "-sweep", "nodes=10,20", "-sweep", "loss=0,0.5", "-quiet")
	_, table, _ := strings.Cut(got, "\n\n")
	const want = `                      nodes=10 loss=0   nodes=10 loss=0.5   nodes=20 loss=0   nodes=20 loss=0.5
sum                   10                15                  20                30
loss                                    0.5                                   0.5
nodes | all           10                10                  20                20
  in the literature   11                11
`
	if diff := cmp.Diff(table, want); diff != "" {
		t.Errorf("got(-) want(+):\n%s", diff)
	}
}

func TestSimJSON(t *testing.T) {
	var one toyReport
	out := mustSim(t, "toy", "-json", "-keys", "a,b", "-exact=false", "-loss", "0.25")
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	if err := d.Decode(&one); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if want := "pastry sim toy -seed 1 -loss 0.25 -keys a,b -exact=false"; one.Command != want {
		t.Errorf("got command %q, want %q", one.Command, want)
	}
	var several []toyReport
	if err := json.Unmarshal([]byte(mustSim(t, "toy", "-json", "-keys", "a,b", "-runs", "3", "-seed", "5")), &several); err != nil {
		t.Fatal(err)
	}
	for i, r := range several {
		if want := fmt.Sprintf("pastry sim toy -seed %d -keys a,b", 5+i); r.Command != want || !slices.Equal(r.Keys, []string{"a", "b"}) {
			t.Errorf("run %d: got %+v, want %q", i, r, want)
		}
	}
	if len(several) != 3 {
		t.Errorf("got %d reports, want 3", len(several))
	}
}

func TestSimPlot(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	mustSim(t, "toy", "-sweep", "nodes=1,2", "-plot", dir)
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(files, []string{filepath.Join(dir, "sums.png"), filepath.Join(dir, "sums.svg")}); diff != "" {
		t.Errorf("got(-) want(+):\n%s", diff)
	}
}

func TestSimMisuse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, args, want string }{
		{"unknown experiment", "tou", `did you mean toy?; "pastry sim" lists them`},
		{"unknown experiment with flags", "hips -nodes 5", `no experiment "hips"`},
		{"unknown flag", "toy -nods 5", `"pastry sim toy -help" lists the flags`},
		{"a word too many", "toy toy", "unknown command"},
		{"sweep without values", "toy -sweep nodes", "as in nodes=1000,2000"},
		{"sweep of nothing", "toy -sweep nodes=", "as in nodes=1000,2000"},
		{"sweep of what is none", "toy -sweep size=1,2", `has no parameter "size", but nodes, seed`},
		{"sweep of words", "toy -sweep nodes=1,few", "-sweep nodes=few: invalid argument"},
		{"a bad value", "toy -nodes 0", "pastry: -nodes is 0"},
		{"the last of a sweep is bad", "toy -sweep nodes=2,-3", "nodes=-3: -nodes is -3"},
		{"sweep and value", "toy -nodes 5 -sweep nodes=1,2", "given twice"},
		{"two sweeps of one", "toy -sweep nodes=5 -sweep nodes=1,2", "given twice"},
		{"several faults", "toy -runs 0 -sweep size=1 -sweep nodes", "-runs 0: give at least 1"},
		{"runs and seeds", "toy -runs 2 -sweep seed=1,2", "give only one of them"},
		{"plot to a file", "toy -plot " + file, "choose another directory"},
		{"all to a file", "all -out " + file, "choose another directory"},
		{"nothing to draw again", "all -redraw -out " + t.TempDir(), "run without -redraw first"},
		{"unknown entry", "all -only x", "-only x: no such entry; there are small"},
	}
	plan := []planEntry{{name: "small", lines: []string{"toy"}}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			hook := func(context.Context, uint64, int) error { t.Error("something was run"); return nil }
			status, stdout, stderr := sim(t.Context(), toys(hook), plan, strings.Fields(tt.args)...)
			if status != 1 || stdout != "" {
				t.Errorf("exit status %d, want 1; standard output %q, want nothing", status, stdout)
			}
			if !strings.Contains(stderr, tt.want) {
				t.Errorf("got %q, want it to say %q", stderr, tt.want)
			}
		})
	}
}

// What was finished before is printed.
func TestSimInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	hook := func(ctx context.Context, _ uint64, nodes int) error {
		if nodes == 3 {
			cancel()
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
	status, stdout, stderr := sim(ctx, toys(hook), nil, "toy", "-json", "-sweep", "nodes=1,2,3,4")
	if status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
	var got []toyReport
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || len(got) != 2 {
		t.Errorf("got %q, want two reports (%v)", stdout, err)
	}
	for _, want := range []string{`interrupted at 0% of "it runs"`, "pastry sim toy -nodes 3 -seed 1", "2 of 4 runs were finished"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("got %q, want it to say %q", stderr, want)
		}
	}
}

func TestSimFails(t *testing.T) {
	hook := func(context.Context, uint64, int) error { return errors.New("the ring is broken") }
	status, stdout, stderr := sim(t.Context(), toys(hook), nil, "toy", "-nodes", "3")
	if want := "pastry: sim toy -nodes 3 -seed 1: the ring is broken\n"; status != 1 || stdout != "" || !strings.HasSuffix(stderr, want) {
		t.Errorf("exit status %d, got %q, want it to end in %q", status, stderr, want)
	}
}

func TestSimProgress(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	p := newSimProgress(&out, false)
	p.now = func() time.Time { return now }
	p.terminal = true
	p.begin()
	p.update("nodes join", 0, 0)
	now = now.Add(10 * time.Second)
	p.update("nodes join", 0.1, 90*time.Second)
	p.update("lookups", 0.5, 0)
	p.end()
	got := strings.ReplaceAll(out.String(), "\r\x1b[K", "<")
	want := fmt.Sprintf("<  %-40s   0%%<  %-40[1]s  10%%  about 1m30s left<  %-40[1]s     10.0 s\n<  %-40[2]s  50%%<", "nodes join", "lookups")
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("got(-) want(+):\n%s", diff)
	}
	if got, want := p.where(), `at 50% of "lookups"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Where there is no terminal, a line a minute is printed.
func TestSimProgressInFile(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	p := newSimProgress(&out, false)
	p.now = func() time.Time { return now }
	p.begin()
	for i := range 150 {
		p.update("nodes join", float64(i)/150, time.Duration(150-i)*time.Second)
		now = now.Add(time.Second)
	}
	p.update("nodes join", 1, 0)
	p.end()
	want := fmt.Sprintf("  %-40s  40%%  about 1m30s left\n  %-40[1]s  80%%  about 30s left\n  %-40[1]s    150.0 s\n", "nodes join")
	if diff := cmp.Diff(out.String(), want); diff != "" {
		t.Errorf("got(-) want(+):\n%s", diff)
	}
}

// What must never happen makes a command fail, and an entry of the plan unfinished.
func TestSimFaults(t *testing.T) {
	all := toys(nil)
	all[0].New = func() experiment.Run { return &toy{faults: []string{"seed 1: delivered twice"}} }
	status, stdout, stderr := sim(t.Context(), all, nil, "toy")
	if status != 1 || !strings.Contains(stdout, "delivered twice") || !strings.Contains(stderr, "what must never happen did") {
		t.Errorf("exit status %d, standard output %q, error output %q", status, stdout, stderr)
	}
	dir := t.TempDir()
	status, _, stderr = sim(t.Context(), all, []planEntry{{name: "small", lines: []string{"toy"}}}, "all", "-out", dir)
	if _, err := os.Stat(entryPath(dir, "small", false)); status != 1 || !strings.Contains(stderr, "delivered twice") || err == nil {
		t.Errorf("exit status %d, error output %q; the entry counts as finished: %t", status, stderr, err == nil)
	}
}

func TestRoundedTime(t *testing.T) {
	for in, want := range map[time.Duration]string{
		0: "0s", 340 * time.Millisecond: "300ms", 12400 * time.Millisecond: "12s", 3 * time.Minute: "3m",
		200 * time.Second: "3m20s", time.Hour + 290*time.Second: "1h5m", 12 * time.Hour: "12h", 59*time.Minute + 59500*time.Millisecond: "1h",
	} {
		if got := roundedTime(in); got != want {
			t.Errorf("%v: got %s, want %s", in, got, want)
		}
	}
}

func TestQuoted(t *testing.T) {
	for in, want := range map[string]string{"a/b.csv": "a/b.csv", "": "''", "two words": "'two words'", "it's": `'it'\''s'`} {
		if got := quoted(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestSimHelp(t *testing.T) {
	for _, args := range [][]string{{"sim"}, {"sim", "hops"}, {"sim", "all"}} {
		got := mustRun(t, append(args, "-help")...)
		if want := "Examples:\n  pastry " + strings.Join(args, " "); !strings.Contains(got, want) {
			t.Errorf("%v: help has no examples:\n%s", args, got)
		}
	}
}
