package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/pbnjay/memory"
	"github.com/spf13/cobra"

	"github.com/secondbit/pastry/internal/experiment"
	"github.com/secondbit/pastry/internal/figure"
)

// run makes the runs of a batch and prints what they measured. What was finished
// is printed even when a later one was not.
func (c *simConfig) run(cmd *cobra.Command, b *batch) error {
	if err := makeDir("-plot", c.plot); err != nil {
		return err
	}
	watch := newSimProgress(cmd.ErrOrStderr(), c.quiet)
	restore := tuneMemory()
	defer restore()
	start := time.Now()
	reports, runErr := b.run(cmd.Context(), watch)
	if len(reports) == 0 {
		return runErr
	}
	watch.note("took %v, with %s of memory", roundedTime(time.Since(start)), memoryTaken())
	err := errors.Join(c.print(cmd, b, reports), faultsOf(reports))
	if c.plot != "" {
		err = errors.Join(err, drawAll(c.plot, b.experiment.Figures(reports), watch))
	}
	return errors.Join(err, runErr)
}

// makeDir makes a directory, if one is named, before hours have passed.
func makeDir(flag, dir string) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("%s: %w; choose another directory", flag, err)
	}
	return nil
}

func (c *simConfig) print(cmd *cobra.Command, b *batch, reports []experiment.Report) error {
	w := cmd.OutOrStdout()
	switch {
	case c.json && len(b.trials) > 1:
		return printJSON(w, reports)
	case c.json:
		return printJSON(w, reports[0])
	}
	return printReports(w, b.labels(len(reports)), reports)
}

// faultsOf returns an error if something happened in a run that must never happen.
func faultsOf(reports []experiment.Report) error {
	n := 0
	for _, r := range reports {
		n += len(r.Head().Faults)
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("what must never happen did: see %d lines named fault", n)
}

// labels returns those of the first n runs.
func (b *batch) labels(n int) []string {
	var labels []string
	for _, t := range b.trials[:n] {
		labels = append(labels, t.label)
	}
	return labels
}

// run makes the runs one after the other, up to the first that fails, and returns
// the reports of those before.
func (b *batch) run(ctx context.Context, watch *simProgress) ([]experiment.Report, error) {
	var reports []experiment.Report
	for i, t := range b.trials {
		if len(b.trials) > 1 {
			watch.note("run %d of %d: %s", i+1, len(b.trials), t.label)
		}
		r, err := t.make(ctx, watch)
		if err != nil && len(b.trials) > 1 {
			err = fmt.Errorf("%w\n%d of %d runs were finished before", err, i, len(b.trials))
		}
		if err != nil {
			return reports, err
		}
		reports = append(reports, r)
	}
	return reports, nil
}

// make runs the experiment to its end. The memory it took is free again when it
// returns.
func (t *trial) make(ctx context.Context, watch *simProgress) (experiment.Report, error) {
	watch.begin()
	r, err := t.run.Run(ctx, &experiment.Progress{Update: watch.update})
	t.run = nil
	watch.end()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("interrupted %s; nothing was measured by:\n%s", watch.where(), t.command)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", strings.TrimPrefix(t.command, "pastry "), err)
	}
	r.Head().Command = t.command
	runtime.GC()
	return r, nil
}

// drawAll writes figures into a directory.
func drawAll(dir string, figures []experiment.Figure, watch *simProgress) error {
	var errs []error
	for _, f := range figures {
		base := filepath.Join(dir, f.Name)
		switch err := figure.Write(base, f); {
		case errors.Is(err, figure.ErrNoPoints):
			watch.note("%v, and is left out", err)
		case err != nil:
			errs = append(errs, err)
		default:
			watch.note("%s.svg and .png are written", base)
		}
	}
	return errors.Join(errs...)
}

// tuneMemory lets the garbage collector wait longer than usual, which a simulation
// of many long-lived nodes rewards, but not beyond what the machine has. What the
// environment says with GOGC and GOMEMLIMIT stands. The function it returns takes
// everything back.
func tuneMemory() func() {
	var undo []func()
	if os.Getenv("GOGC") == "" {
		old := debug.SetGCPercent(200)
		undo = append(undo, func() { debug.SetGCPercent(old) })
	}
	if all := memory.TotalMemory(); os.Getenv("GOMEMLIMIT") == "" && all > 0 {
		old := debug.SetMemoryLimit(int64(all / 4 * 3))
		undo = append(undo, func() { debug.SetMemoryLimit(old) })
	}
	return func() {
		for _, f := range undo {
			f()
		}
	}
}

// memoryTaken returns the most memory that the process ever took.
func memoryTaken() string {
	peak := experiment.PeakMemory()
	if peak < 1<<30 {
		return fmt.Sprintf("%d MiB", peak>>20)
	}
	return fmt.Sprintf("%.1f GiB", float64(peak)/(1<<30))
}
