package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/secondbit/pastry/internal/experiment"
)

const simAllShort = "run every experiment of the docs and draw its figures"

const simAllLong = `All runs the plan that the figures of the docs come from, cheap entries first. For
each it writes to the directory -out the reports as JSON and the figures as SVG and
PNG; README.md there shows all of them, with seed and command.

What is finished is not run again while its command and the version of pastry are
the same, so that an interrupted plan goes on where it stopped; with -redraw nothing
is run at all. An entry that fails does not keep the others from running.`

// planEntry is something that the docs show.
type planEntry struct {
	name, title, text string
	lines             []string      // of commands, without "pastry sim", all of the same experiment
	estimate          time.Duration // of all of them, on two cores
	gogc              int           // garbage that may gather, in percent, which time and memory depend on; 0 for as set
	with              []string      // entries of the same experiment that figures of several sizes show, too
}

// simPlan carries out a plan.
type simPlan struct {
	out         string
	only        []string
	force, keep bool
	redraw      bool
	list, quiet bool

	experiments []experiment.Experiment
	entries     []planEntry // in the end only those chosen
	all         []planEntry
	watch       *simProgress
}

func newSimAllCommand(experiments []experiment.Experiment, plan []planEntry) *cobra.Command {
	p := simPlan{experiments: experiments, entries: plan, all: plan}
	cmd := &cobra.Command{
		Use:   "all",
		Short: simAllShort,
		Long:  simAllLong,
		Args:  cobra.NoArgs,
		Example: `  pastry sim all -list
  pastry sim all -only hops,replicas -out /tmp/figures
  pastry sim all -redraw`,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.run(cmd) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&p.out, "out", filepath.Join("docs", "figures"), "directory to write to")
	f.StringSliceVar(&p.only, "only", nil, "run only the entries named, separated by commas")
	f.BoolVar(&p.list, "list", false, "list the entries, run nothing")
	f.BoolVar(&p.force, "force", false, "run again what is finished")
	f.BoolVar(&p.keep, "keep", false, "keep what another version of pastry has finished")
	f.BoolVar(&p.redraw, "redraw", false, "run nothing, and draw again what is finished, whatever version it is of")
	f.BoolVar(&p.quiet, "quiet", false, "show no progress")
	_ = cmd.MarkFlagDirname("out") // fails only for an unknown flag
	return cmd
}

func (p *simPlan) run(cmd *cobra.Command) error {
	if p.redraw && p.force {
		return errors.New("-redraw runs nothing, -force runs everything: give only one of them")
	}
	jobs, err := p.jobs()
	if err != nil {
		return err
	}
	if p.list {
		return listJobs(cmd.OutOrStdout(), jobs)
	}
	if p.redraw && !slices.ContainsFunc(jobs, (*job).finished) {
		return fmt.Errorf("-redraw: nothing is finished in %s; run without -redraw first", p.out)
	}
	if err := makeDir("-out", p.out); err != nil {
		return err
	}
	p.watch = newSimProgress(cmd.ErrOrStderr(), p.quiet)
	restore := tuneMemory()
	defer restore()
	err = p.runAll(cmd.Context(), jobs)
	readme := filepath.Join(p.out, "README.md")
	err = errors.Join(err, replaceFile(readme, []byte(p.readme())))
	p.watch.note("%s is written", readme)
	return err
}

// choose returns the entries that -only names, all if it names none.
func (p *simPlan) choose() ([]planEntry, error) {
	if len(p.only) == 0 {
		return p.all, nil
	}
	var names []string
	for _, e := range p.all {
		names = append(names, e.name)
	}
	for _, name := range p.only {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("-only %s: no such entry; there are %s", name, strings.Join(names, ", "))
		}
	}
	return slices.DeleteFunc(slices.Clone(p.all), func(e planEntry) bool { return !slices.Contains(p.only, e.name) }), nil
}

// jobs returns the chosen entries with their runs.
func (p *simPlan) jobs() ([]*job, error) {
	entries, err := p.choose()
	errs := []error{err}
	var jobs []*job
	for _, e := range entries {
		j := &job{planEntry: e, again: p.force, redraw: p.redraw, dir: p.out, done: loadEntry(entryPath(p.out, e.name, false)),
			partial: loadEntry(entryPath(p.out, e.name, true))}
		if !p.keep && !p.redraw {
			j.fresh = simVersion()
		}
		for _, line := range e.lines {
			b, err := parseBatch(p.experiments, line)
			if err != nil {
				errs = append(errs, fmt.Errorf("plan, %s: %w", e.name, err))
				continue
			}
			j.add(b, len(e.lines) > 1)
		}
		jobs = append(jobs, j)
	}
	return jobs, errors.Join(errs...)
}

func listJobs(w io.Writer, jobs []*job) error {
	for _, j := range jobs {
		line := fmt.Sprintf("%-12s %s", j.name, j.state())
		if left := j.estimated(); left > 0 {
			line += ", about " + roundedTime(left)
		}
		fmt.Fprintf(w, "%s\n  %s\n", line, strings.Join(j.commands, "\n  "))
	}
	_, err := fmt.Fprintf(w, "\nall together about %v\n", roundedTime(leftOf(jobs)))
	return err
}

func leftOf(jobs []*job) time.Duration {
	var sum time.Duration
	for _, j := range jobs {
		sum += j.estimated()
	}
	return sum
}

// runAll runs what is left to do. It stops when ctx ends, and otherwise carries on
// after an entry that fails.
func (p *simPlan) runAll(ctx context.Context, jobs []*job) error {
	var errs []error
	for i, j := range jobs {
		if ctx.Err() != nil {
			break
		}
		if p.redraw != j.finished() {
			p.watch.note("%s (%d of %d) is %s", j.name, i+1, len(jobs), j.state())
			continue
		}
		p.watch.note("%s (%d of %d), about %v of %v", j.name, i+1, len(jobs), roundedTime(j.estimated()), roundedTime(leftOf(jobs[i:])))
		if err := j.run(ctx, p.watch); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", j.name, err))
		}
	}
	if ctx.Err() != nil {
		errs = append(errs, fmt.Errorf("the same command goes on from here: what is finished is kept in %s", p.out))
	}
	return errors.Join(errs...)
}
