package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/secondbit/pastry/internal/experiment"
)

// trial is one run of an experiment that is to be made.
type trial struct {
	run     experiment.Run
	command string // that makes this run alone
	label   string // the values swept, such as "nodes=5000", empty if there are none
}

// batch is an experiment with all runs that one command line asks for.
type batch struct {
	experiment experiment.Experiment
	command    string
	trials     []*trial
}

// sweep is a parameter with the values it is to take.
type sweep struct {
	name   string
	values []string
}

// newBatch returns the runs with those parameters that were set in given, one for
// each combination of the swept values, the last of which varies fastest. An error
// names every bad value.
func newBatch(e experiment.Experiment, given *pflag.FlagSet, sweeps []string, runs int) (*batch, error) {
	swept, err := parseSweeps(e, given, sweeps, runs)
	if err != nil {
		return nil, err
	}
	b := &batch{experiment: e}
	var errs []error
	for _, values := range combinations(swept) {
		t, err := newTrial(e, given, swept, values)
		b.trials, errs = append(b.trials, t), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	b.command, err = batchCommand(e, given, swept)
	return b, err
}

// parseBatch returns the runs that a command line asks for: an experiment's name
// and flags, with -sweep and -runs.
func parseBatch(experiments []experiment.Experiment, line string) (*batch, error) {
	words := strings.Fields(line)
	i := slices.IndexFunc(experiments, func(e experiment.Experiment) bool { return len(words) > 0 && e.Name == words[0] })
	if i < 0 {
		return nil, fmt.Errorf("%q: no such experiment", line)
	}
	var c simConfig
	fs := parameters(experiments[i].New())
	c.addSweepFlags(fs)
	for j, word := range words {
		if isFlag(word) {
			words[j] = twoDashes(word)
		}
	}
	if err := fs.Parse(words[1:]); err != nil {
		return nil, fmt.Errorf("%q: %w", line, err)
	}
	b, err := newBatch(experiments[i], fs, c.sweeps, c.runs)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", line, err)
	}
	return b, nil
}

// parameters returns the flags of a run in the order of their definition.
func parameters(r experiment.Run) *pflag.FlagSet {
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	fs.SortFlags = false
	r.Flags(fs)
	return fs
}

// parseSweeps reads what is swept; runs after the first are a sweep of seeds.
func parseSweeps(e experiment.Experiment, given *pflag.FlagSet, lines []string, runs int) ([]sweep, error) {
	known := parameters(e.New())
	var swept []sweep
	var errs []error
	for _, line := range lines {
		name, values, ok := strings.Cut(line, "=")
		s := sweep{name: strings.TrimLeft(name, "-"), values: strings.Split(values, ",")}
		again := slices.ContainsFunc(swept, func(o sweep) bool { return o.name == s.name })
		switch {
		case !ok || s.name == "" || values == "":
			errs = append(errs, fmt.Errorf("-sweep %s: give a parameter and its values as in nodes=1000,2000", line))
		case known.Lookup(s.name) == nil:
			errs = append(errs, fmt.Errorf("-sweep %s: %s has no parameter %q, but %s", line, e.Name, s.name, names(known)))
		case again || given.Changed(s.name):
			errs = append(errs, fmt.Errorf("-sweep %s: -%s is given twice", line, s.name))
		}
		swept = append(swept, s)
	}
	if runs < 1 {
		errs = append(errs, fmt.Errorf("-runs %d: give at least 1", runs))
	}
	if runs > 1 {
		seeds, err := nextSeeds(given, swept, runs)
		swept, errs = append(swept, seeds), append(errs, err)
	}
	return swept, errors.Join(errs...)
}

// nextSeeds returns a sweep of so many seeds.
func nextSeeds(given *pflag.FlagSet, swept []sweep, runs int) (sweep, error) {
	s := sweep{name: "seed"}
	if slices.ContainsFunc(swept, func(o sweep) bool { return o.name == s.name }) {
		return s, errors.New("-runs and -sweep seed=...: give only one of them")
	}
	first, err := given.GetUint64("seed")
	if err != nil {
		return s, fmt.Errorf("-runs: %w", err)
	}
	for i := range runs {
		s.values = append(s.values, strconv.FormatUint(first+uint64(i), 10))
	}
	return s, nil
}

func names(fs *pflag.FlagSet) string {
	var all []string
	fs.VisitAll(func(f *pflag.Flag) { all = append(all, f.Name) })
	return strings.Join(all, ", ")
}

// combinations returns every choice of one value from each sweep.
func combinations(swept []sweep) [][]string {
	all := [][]string{nil}
	for _, s := range swept {
		var longer [][]string
		for _, values := range all {
			for _, v := range s.values {
				longer = append(longer, append(slices.Clone(values), v))
			}
		}
		all = longer
	}
	return all
}

// newTrial returns the run with the given parameters and one value of each sweep.
func newTrial(e experiment.Experiment, given *pflag.FlagSet, swept []sweep, values []string) (*trial, error) {
	t := &trial{run: e.New()}
	fs := parameters(t.run)
	if err := copyFlags(fs, given); err != nil {
		return nil, err
	}
	var labels []string
	for i, s := range swept {
		label := s.name + "=" + values[i]
		if err := fs.Set(s.name, values[i]); err != nil {
			return nil, fmt.Errorf("-sweep %s: %w", label, err)
		}
		labels = append(labels, label)
	}
	t.label, t.command = strings.Join(labels, " "), commandLine(e, fs, nil)
	switch err := t.run.Check(); {
	case err == nil:
	case t.label == "":
		return nil, err
	default:
		return nil, fmt.Errorf("%s: %w", t.label, err)
	}
	return t, nil
}

// batchCommand returns the command line of all runs together.
func batchCommand(e experiment.Experiment, given *pflag.FlagSet, swept []sweep) (string, error) {
	fs := parameters(e.New())
	err := copyFlags(fs, given)
	return commandLine(e, fs, swept), err
}

// copyFlags sets those flags in to that were set in from.
func copyFlags(to, from *pflag.FlagSet) error {
	var errs []error
	from.Visit(func(f *pflag.Flag) {
		switch g := to.Lookup(f.Name); {
		case g == nil:
		case isList(f):
			errs = append(errs, g.Value.(pflag.SliceValue).Replace(f.Value.(pflag.SliceValue).GetSlice()))
		default:
			errs = append(errs, to.Set(f.Name, f.Value.String()))
		}
	})
	return errors.Join(errs...)
}

func isList(f *pflag.Flag) bool {
	_, ok := f.Value.(pflag.SliceValue)
	return ok
}

// commandLine returns the command that runs an experiment with the parameters in
// fs, those swept apart: it names the seed, and what is not as by default.
func commandLine(e experiment.Experiment, fs *pflag.FlagSet, swept []sweep) string {
	words := []string{"pastry sim " + e.Name}
	fs.VisitAll(func(f *pflag.Flag) {
		value, standard := flagText(f), f.Value.String() == f.DefValue
		bySweep := slices.ContainsFunc(swept, func(s sweep) bool { return s.name == f.Name })
		switch {
		case bySweep || standard && f.Name != "seed":
		case f.Value.Type() == "bool" && value == "true":
			words = append(words, "-"+f.Name)
		case f.Value.Type() == "bool":
			words = append(words, "-"+f.Name+"="+value)
		default:
			words = append(words, "-"+f.Name, quoted(value))
		}
	})
	for _, s := range swept {
		words = append(words, "-sweep", quoted(s.name+"="+strings.Join(s.values, ",")))
	}
	return strings.Join(words, " ")
}

// flagText returns the value of a flag as it is written on a command line.
func flagText(f *pflag.Flag) string {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return strings.Join(list.GetSlice(), ",")
	}
	return f.Value.String()
}

// quoted returns a word as a shell takes it.
func quoted(word string) string {
	if word != "" && strings.IndexFunc(word, needsQuotes) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

func needsQuotes(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_=+:,./@%", r))
}
