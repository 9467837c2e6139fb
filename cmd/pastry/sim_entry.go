package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/secondbit/pastry/internal/experiment"
)

// simEntry is what became of an entry of the plan. It is kept in a file, so that it
// can be shown, drawn and continued without running again.
type simEntry struct {
	Name     string              `json:"name"`
	Commands []string            `json:"commands"`
	Runs     []entryRun          `json:"runs"`
	Table    simTable            `json:"table"`
	Figures  []experiment.Figure `json:"figures"`
}

// entryRun is a run that was finished.
type entryRun struct {
	Command string          `json:"command"`
	Version string          `json:"version"` // of pastry
	Seed    uint64          `json:"seed"`
	Seconds float64         `json:"seconds"`
	Report  json.RawMessage `json:"report"`
}

// newEntryRun returns the record of a run that has just ended.
func newEntryRun(r experiment.Report) (entryRun, error) {
	report, err := json.Marshal(r)
	h := r.Head()
	return entryRun{Command: h.Command, Version: simVersion(), Seed: h.Seed, Seconds: h.WallTime, Report: report}, err
}

// revive reads the report of a run into an empty one, and returns that. It is an error
// if the report is not what it was.
func (r *entryRun) revive(blank experiment.Report) (experiment.Report, error) {
	if err := json.Unmarshal(r.Report, blank); err != nil {
		return nil, err
	}
	again, err := json.Marshal(blank)
	if err != nil {
		return nil, err
	}
	var before bytes.Buffer
	if err := json.Compact(&before, r.Report); err != nil {
		return nil, err
	}
	if !bytes.Equal(again, before.Bytes()) {
		return nil, fmt.Errorf("%s: its report cannot be read again", r.Command)
	}
	return blank, nil
}

// entryPath returns the file of an entry; a partial one is not yet finished.
func entryPath(dir, name string, partial bool) string {
	if partial {
		name += ".partial"
	}
	return filepath.Join(dir, name+".json")
}

// loadEntry reads an entry's file. It returns an empty entry if there is none, or
// none that can be read.
func loadEntry(path string) simEntry {
	var e simEntry
	data, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(data, &e) != nil {
		return simEntry{}
	}
	return e
}

// save writes the entry's file, all of it or nothing.
func (e *simEntry) save(path string) error {
	data, err := json.MarshalIndent(e, "", " ")
	if err != nil {
		return err
	}
	return replaceFile(path, append(data, '\n'))
}

// replaceFile gives a file new content, all of it or nothing.
func replaceFile(path string, data []byte) error {
	next := path + ".new"
	if err := os.WriteFile(next, data, 0o644); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// removeFile removes a file if there is one.
func removeFile(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// find returns the run that the command made, with the given version unless it is
// empty.
func (e *simEntry) find(command, version string) (entryRun, bool) {
	i := slices.IndexFunc(e.Runs, func(r entryRun) bool {
		return r.Command == command && (version == "" || r.Version == version)
	})
	if i < 0 {
		return entryRun{}, false
	}
	return e.Runs[i], true
}

// seconds returns how long all runs took.
func (e *simEntry) seconds() float64 {
	var sum float64
	for _, r := range e.Runs {
		sum += r.Seconds
	}
	return sum
}

// versions returns those of pastry that made the runs.
func (e *simEntry) versions() []string {
	return e.distinct(func(r entryRun) string { return "pastry " + r.Version })
}

// seeds returns those of the runs.
func (e *simEntry) seeds() []string {
	return e.distinct(func(r entryRun) string { return fmt.Sprint(r.Seed) })
}

// distinct returns what get finds in the runs, each once.
func (e *simEntry) distinct(get func(entryRun) string) []string {
	var all []string
	for _, r := range e.Runs {
		if s := get(r); !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}
