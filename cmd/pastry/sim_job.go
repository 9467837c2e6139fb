package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/secondbit/pastry/internal/experiment"
)

// job is an entry of the plan with its runs, and what was made of it before.
type job struct {
	planEntry
	experiment    experiment.Experiment
	commands      []string
	trials        []*trial
	labels        []string
	done, partial simEntry
	fresh         string // version that a run must have to be good, empty for any
	again         bool   // even what is good
	redraw        bool   // nothing is to be run
	dir           string
}

// add adds the runs of one of the entry's commands.
func (j *job) add(b *batch, several bool) {
	j.experiment = b.experiment
	j.commands = append(j.commands, b.command)
	j.trials = append(j.trials, b.trials...)
	for _, t := range b.trials {
		label := t.label
		if several {
			label = strings.TrimPrefix(t.command, "pastry sim "+b.experiment.Name+" ")
		}
		j.labels = append(j.labels, label)
	}
}

// kept returns the finished run of a trial, if there is one that is good.
func (j *job) kept(t *trial) (entryRun, bool) {
	if j.again {
		return entryRun{}, false
	}
	if r, ok := j.partial.find(t.command, j.fresh); ok {
		return r, true
	}
	return j.done.find(t.command, j.fresh)
}

// finished reports whether nothing is left to do.
func (j *job) finished() bool {
	if j.again || len(j.done.Runs) != len(j.trials) || !slices.Equal(j.done.Commands, j.commands) {
		return false
	}
	return !slices.ContainsFunc(j.trials, func(t *trial) bool {
		_, ok := j.done.find(t.command, j.fresh)
		return !ok
	})
}

// estimated returns how long the entry will take: as long as it did, or else as the
// plan says; of that, the share of the runs that are left.
func (j *job) estimated() time.Duration {
	if j.finished() {
		return 0
	}
	whole := j.estimate
	if j.done.seconds() > 0 && len(j.done.Runs) == len(j.trials) {
		whole = time.Duration(j.done.seconds() * float64(time.Second))
	}
	left := 0
	for _, t := range j.trials {
		if _, ok := j.kept(t); !ok {
			left++
		}
	}
	return whole * time.Duration(left) / time.Duration(len(j.trials))
}

func (j *job) state() string {
	kept := 0
	for _, t := range j.trials {
		if _, ok := j.kept(t); ok {
			kept++
		}
	}
	switch {
	case j.finished():
		return "finished"
	case kept > 0:
		return fmt.Sprintf("%d of %d runs finished", kept, len(j.trials))
	case len(j.done.Runs) > 0:
		return "made by another version or command"
	}
	return "not yet run"
}

// run makes the runs that are left and writes everything down.
func (j *job) run(ctx context.Context, watch *simProgress) error {
	if j.gogc > 0 {
		defer debug.SetGCPercent(debug.SetGCPercent(j.gogc))
	}
	reports, err := j.reports(ctx, watch)
	if err != nil {
		return err
	}
	e := simEntry{Name: j.name, Commands: j.commands, Runs: j.partial.Runs, Table: newTable(j.labels, reports), Figures: j.figures(reports)}
	if err := drawAll(j.dir, e.Figures, watch); err != nil {
		return err
	}
	return errors.Join(e.save(entryPath(j.dir, j.name, false)), removeFile(entryPath(j.dir, j.name, true)))
}

// figures draws the reports. What can only be drawn of several, and not of these, is
// drawn of them and those of the entries named in with, as far as they are finished.
func (j *job) figures(reports []experiment.Report) []experiment.Figure {
	figures := j.experiment.Figures(reports)
	all := slices.Clone(reports)
	for _, name := range j.with {
		for _, r := range loadEntry(entryPath(j.dir, name, false)).Runs {
			if other, err := r.revive(j.experiment.Blank()); err == nil {
				all = append(all, other)
			}
		}
	}
	for _, f := range j.experiment.Figures(all) {
		if !slices.ContainsFunc(figures, func(own experiment.Figure) bool { return own.Name == f.Name }) {
			figures = append(figures, f)
		}
	}
	for i, f := range figures {
		if f.Name != j.name && !strings.HasPrefix(f.Name, j.name+"-") {
			figures[i].Name = j.name + "-" + f.Name
		}
	}
	return figures
}

// reports returns the reports of all runs: those kept, and those made now. Each of
// these is saved as soon as it is there.
func (j *job) reports(ctx context.Context, watch *simProgress) ([]experiment.Report, error) {
	runs, reports := make([]entryRun, len(j.trials)), make([]experiment.Report, len(j.trials))
	for i, t := range j.trials {
		if r, ok := j.kept(t); ok {
			var err error
			switch reports[i], err = r.revive(j.experiment.Blank()); {
			case err == nil:
				runs[i] = r
			case j.redraw:
				return nil, err
			default:
				watch.note("run %d of %d is made again: %v", i+1, len(runs), err)
			}
		}
	}
	for i := range runs {
		if reports[i] == nil {
			if err := j.make(ctx, watch, i, runs, reports); err != nil {
				return nil, err
			}
		}
	}
	return reports, j.save(runs)
}

// make makes run i.
func (j *job) make(ctx context.Context, watch *simProgress, i int, runs []entryRun, reports []experiment.Report) error {
	if len(j.trials) > 1 {
		watch.note("run %d of %d: %s", i+1, len(j.trials), j.labels[i])
	}
	r, err := j.trials[i].make(ctx, watch)
	if err != nil {
		return err
	}
	if faults := r.Head().Faults; len(faults) > 0 {
		return fmt.Errorf("%s: what must never happen did: %s", r.Head().Command, strings.Join(faults, "; "))
	}
	if runs[i], err = newEntryRun(r); err != nil {
		return err
	}
	reports[i] = r
	return j.save(runs)
}

// save writes down the runs that are there.
func (j *job) save(runs []entryRun) error {
	j.partial = simEntry{Name: j.name, Commands: j.commands}
	for _, r := range runs {
		if r.Command != "" {
			j.partial.Runs = append(j.partial.Runs, r)
		}
	}
	return j.partial.save(entryPath(j.dir, j.name, true))
}
