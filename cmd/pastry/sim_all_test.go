package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondbit/pastry/internal/experiment"
	"github.com/secondbit/pastry/internal/figure"
)

var toyPlan = []planEntry{
	{name: "small", title: "Small", text: "A small one.", lines: []string{"toy -nodes 5"}, estimate: time.Minute},
	{name: "large", title: "Large", text: "Two commands.", lines: []string{"toy -sweep nodes=10,20", "toy -loss 0.5"}, estimate: time.Hour},
}

// planRun runs a plan in a directory, with a hook that notes what was run and fails
// for the numbers of nodes given.
func planRun(t *testing.T, dir string, fail []int, args ...string) (status int, ran []int, stderr string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	hook := func(ctx context.Context, _ uint64, nodes int) error {
		ran = append(ran, nodes)
		if slices.Contains(fail, -nodes) {
			cancel()
			return ctx.Err()
		}
		if slices.Contains(fail, nodes) {
			return errors.New("the ring is broken")
		}
		return nil
	}
	status, _, stderr = sim(ctx, toys(hook), toyPlan, append([]string{"all", "-out", dir}, args...)...)
	return status, ran, stderr
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// The figures of the docs are those of the plan, and the page that shows them shows the
// reports beside it.
func TestFiguresOfDocs(t *testing.T) {
	dir := filepath.Join("..", "..", "docs", "figures")
	p := simPlan{experiments: experiment.All(), all: simEntries, out: dir}
	if got, want := readFile(t, filepath.Join(dir, "README.md")), p.readme(); got != want {
		t.Errorf("README.md is not what the reports make: \"pastry sim all -redraw\" writes it again; got(-) want(+):\n%s", cmp.Diff(got, want))
	}
	jobs, err := p.jobs()
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range jobs {
		var want []string
		for _, line := range j.lines {
			b, err := parseBatch(p.experiments, line)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, b.command)
		}
		if diff := cmp.Diff(j.done.Commands, want); diff != "" {
			t.Errorf("%s: figures are not made by the plan's commands, got(-) want(+):\n%s", j.name, diff)
		}
		checkDrawn(t, j)
	}
}

// checkDrawn draws an entry of the docs again.
func checkDrawn(t *testing.T, j *job) {
	t.Helper()
	var reports []experiment.Report
	for _, r := range j.done.Runs {
		report, err := r.revive(j.experiment.Blank())
		if err != nil {
			t.Errorf("%s: %v", j.name, err)
			return
		}
		reports = append(reports, report)
	}
	if diff := cmp.Diff(j.done.Figures, j.figures(reports)); diff != "" {
		t.Errorf("%s: figures are not what the reports make; got(-) want(+):\n%s", j.name, diff)
	}
	for _, f := range j.done.Figures {
		if !hasPoints(f) {
			continue
		}
		svg, err := figure.SVG(f)
		if err != nil {
			t.Error(err)
		}
		if got := readFile(t, filepath.Join(j.dir, f.Name+".svg")); got != string(svg) {
			t.Errorf("%s.svg is not what is drawn now", f.Name)
		}
		if _, err := os.Stat(filepath.Join(j.dir, f.Name+".png")); err != nil {
			t.Error(err)
		}
	}
}

func TestSimAll(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "figures")
	status, ran, stderr := planRun(t, dir, nil)
	if diff := cmp.Diff(ran, []int{5, 10, 20, 10}); status != 0 || diff != "" {
		t.Fatalf("exit status %d, ran got(-) want(+):\n%s\n%s", status, diff, stderr)
	}
	readme := readFile(t, filepath.Join(dir, "README.md"))
	for _, want := range []string{
		"## Small\n\nA small one.\n\n![Sums](small-sums.svg)\n\nSeed 1. [Reports](small.json) of pastry ",
		"```sh\npastry sim toy -seed 1 -sweep nodes=10,20\npastry sim toy -seed 1 -loss 0.5\n```",
		"|  | measured | in the literature |\n|---|---|---|\n| sum | 5 |  |\n| nodes \\| all | 5 |  |\n",
		"|  | -seed 1 | -nodes 20 -seed 1 | -seed 1 -loss 0.5 |\n",
		"| &nbsp;&nbsp;in the literature | 11 |  | 11 |\n",
		"- `pastry sim toy -nodes 20 -seed 1`: 20 nodes by joins",
	} {
		if !strings.Contains(readme, want) {
			t.Errorf("README.md does not say %q:\n%s", want, readme)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range files {
		files[i] = filepath.Base(files[i])
	}
	want := []string{"README.md", "large-sums.png", "large-sums.svg", "large.json", "small-sums.png", "small-sums.svg", "small.json"}
	if diff := cmp.Diff(files, want); diff != "" {
		t.Errorf("files: got(-) want(+):\n%s", diff)
	}
	again := t.TempDir()
	planRun(t, again, nil)
	for _, name := range want {
		if readFile(t, filepath.Join(dir, name)) != readFile(t, filepath.Join(again, name)) {
			t.Errorf("%s differs when it is made again", name)
		}
	}
}

// An entry that names others draws what compares several sizes with theirs, too, and
// has the collector's setting of its own.
func TestSimAllWith(t *testing.T) {
	dir := t.TempDir()
	gogc := make(map[int]uint64)
	all := toys(func(_ context.Context, _ uint64, nodes int) error {
		sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(sample)
		gogc[nodes] = sample[0].Value.Uint64()
		return nil
	})
	all[0].Figures = func(reports []experiment.Report) []experiment.Figure {
		figures := toyFigures(reports)
		if len(reports) > 1 {
			figures = append(figures, experiment.Figure{Name: "sizes", Series: figures[0].Series})
		}
		return figures
	}
	plan := []planEntry{
		{name: "one", title: "One", text: "One.", lines: []string{"toy -nodes 5"}, estimate: time.Minute},
		{name: "other", title: "Other", text: "Another.", lines: []string{"toy -nodes 7"}, estimate: time.Minute, gogc: 42, with: []string{"one", "missing"}},
	}
	if status, _, stderr := sim(t.Context(), all, plan, "all", "-out", dir); status != 0 {
		t.Fatalf("exit status %d: %s", status, stderr)
	}
	got := make(map[string]int)
	for _, name := range []string{"one", "other"} {
		for _, f := range loadEntry(entryPath(dir, name, false)).Figures {
			if hasPoints(f) {
				got[f.Name] = len(f.Series[0].Points)
			}
		}
	}
	if diff := cmp.Diff(got, map[string]int{"one-sums": 1, "other-sums": 1, "other-sizes": 2}); diff != "" {
		t.Errorf("points of each figure, got(-) want(+):\n%s", diff)
	}
	if gogc[5] == 42 || gogc[7] != 42 {
		t.Errorf("the collector's setting was %d%% and %d%%, want 42%% for the second only", gogc[5], gogc[7])
	}
	readme := readFile(t, filepath.Join(dir, "README.md"))
	for _, want := range []string{"\npastry sim toy -nodes 5 -seed 1\n", "\nGOGC=42 pastry sim toy -nodes 7 -seed 1\n", "![](other-sizes.svg)"} {
		if !strings.Contains(readme, want) {
			t.Errorf("README.md does not say %q:\n%s", want, readme)
		}
	}
}

// What is finished is not run again, but for -force or when it was made otherwise.
func TestSimAllResumes(t *testing.T) {
	dir := t.TempDir()
	steps := []struct {
		name   string
		before func()
		args   []string
		fail   []int
		status int
		ran    []int
		stderr string
	}{
		{"an entry fails, the other is made", nil, nil, []int{5}, 1, []int{5, 10, 20, 10}, "small: sim toy -nodes 5 -seed 1: the ring is broken"},
		{"only what failed is run", nil, nil, nil, 0, []int{5}, "large (2 of 2) is finished"},
		{"nothing is left", nil, nil, nil, 0, nil, "small (1 of 2) is finished"},
		{"force", nil, []string{"-force", "-only", "small"}, nil, 0, []int{5}, ""},
		{"only", nil, []string{"-only", "large", "-force"}, []int{20}, 1, []int{10, 20}, "large: sim toy -nodes 20 -seed 1"},
		{"the old figures still stand", nil, nil, nil, 0, nil, ""},
		{"interrupted", func() { rewrite(t, dir, "large", "Version", "older") }, nil, []int{-20}, 1, []int{20}, "the same command goes on from here"},
		{"goes on", nil, nil, nil, 0, []int{20, 10}, ""},
		{"another version", func() { rewrite(t, dir, "large", "Version", "older") }, []string{"-keep"}, nil, 0, nil, ""},
		{"redraw", func() { remove(t, filepath.Join(dir, "large-sums.svg")) }, []string{"-redraw"}, nil, 0, nil, "large-sums.svg and .png are written"},
		{"redraw what cannot be read", func() { rewrite(t, dir, "small", "Report", `{"sum": 4, "of": 5}`) }, []string{"-redraw"}, nil, 1, nil, "its report cannot be read again"},
		{"make that again", nil, []string{"-only", "small", "-force"}, nil, 0, []int{5}, ""},
		{"redraw and force", nil, []string{"-redraw", "-force"}, nil, 1, nil, "give only one of them"},
		{"another command", func() { rewrite(t, dir, "small", "Command", "older") }, nil, nil, 0, []int{5, 10, 20, 10}, ""},
		{"a file that is none, redraw", func() { spoil(t, filepath.Join(dir, "small.json")) }, []string{"-redraw"}, nil, 0, nil, "small (1 of 2) is not yet run"},
		{"a file that is none", nil, nil, nil, 0, []int{5}, ""},
	}
	for _, s := range steps {
		if s.before != nil {
			s.before()
		}
		status, ran, stderr := planRun(t, dir, s.fail, s.args...)
		if diff := cmp.Diff(ran, s.ran); status != s.status || diff != "" {
			t.Errorf("%s: exit status %d, ran got(-) want(+):\n%s", s.name, status, diff)
		}
		if !strings.Contains(stderr, s.stderr) {
			t.Errorf("%s: got %q, want it to say %q", s.name, stderr, s.stderr)
		}
		if readme := readFile(t, filepath.Join(dir, "README.md")); !strings.Contains(readme, "## Large") {
			t.Errorf("%s: README.md lost an entry:\n%s", s.name, readme)
		}
	}
}

// rewrite makes an entry's runs those of another version or command.
func rewrite(t *testing.T, dir, name, field, value string) {
	t.Helper()
	path := entryPath(dir, name, false)
	e := loadEntry(path)
	for i := range e.Runs {
		switch field {
		case "Version":
			e.Runs[i].Version = value
		case "Report":
			e.Runs[i].Report = json.RawMessage(value)
		default:
			e.Runs[i].Command = value
		}
	}
	if err := e.save(path); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func spoil(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestSimAllList(t *testing.T) {
	dir := t.TempDir()
	planRun(t, dir, []int{20})
	status, stdout, stderr := sim(t.Context(), toys(nil), toyPlan, "all", "-list", "-out", dir)
	const want = `small        finished
  pastry sim toy -nodes 5 -seed 1
large        1 of 3 runs finished, about 40m
  pastry sim toy -seed 1 -sweep nodes=10,20
  pastry sim toy -seed 1 -loss 0.5

all together about 40m
`
	if diff := cmp.Diff(stdout, want); status != 0 || diff != "" {
		t.Errorf("exit status %d, got(-) want(+):\n%s\n%s", status, diff, stderr)
	}
}

// A report is the same when it has been written down and read again.
func TestRevive(t *testing.T) {
	r, err := (&toy{nodes: 3, loss: .5, keys: []string{"a"}}).Run(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	run, err := newEntryRun(r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := run.revive(&toyReport{})
	if diff := cmp.Diff(got, r); err != nil || diff != "" {
		t.Errorf("%v, got(-) want(+):\n%s", err, diff)
	}
	run.Report = json.RawMessage(`{"sum": 4, "of": 5}`)
	if _, err := run.revive(&toyReport{}); err == nil {
		t.Error("a report with an unknown field was taken for the same")
	}
}

// Every command of the plan can be read, and every entry names an experiment.
func TestSimPlan(t *testing.T) {
	seen := make(map[string]bool)
	for _, e := range simEntries {
		if seen[e.name] || e.title == "" || e.text == "" || e.estimate == 0 || len(e.lines) == 0 {
			t.Errorf("%s: twice there, or not complete", e.name)
		}
		seen[e.name] = true
		for _, line := range e.lines {
			if _, err := parseBatch(experiment.All(), line); err != nil {
				t.Errorf("%s: %v", e.name, err)
			}
			if strings.Fields(line)[0] != strings.Fields(e.lines[0])[0] {
				t.Errorf("%s: not all commands are of the same experiment", e.name)
			}
		}
	}
}
