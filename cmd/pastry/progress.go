package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress tells a person, step by step, how far a long command has come: with
// a moving bar on a terminal, and with a line for each finished step anywhere.
type progress struct {
	w     io.Writer
	bar   *progressbar.ProgressBar
	name  string
	start time.Time
	took  map[string]float64 // seconds by step
}

func newProgress(w io.Writer) *progress {
	return &progress{w: w, took: make(map[string]float64)}
}

// begin starts a step of so many parts. One step runs at a time.
func (p *progress) begin(name string, parts int) {
	p.name, p.start = name, time.Now()
	p.bar = progressbar.NewOptions(parts,
		progressbar.OptionSetWriter(p.w),
		progressbar.OptionSetVisibility(isTerminal(p.w) && parts > 0),
		progressbar.OptionSetDescription(fmt.Sprintf("%-10s", name)),
		progressbar.OptionShowCount(),
		progressbar.OptionSetWidth(30),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionThrottle(50*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)
}

// add notes that one more part is done. Any goroutine may call it.
func (p *progress) add() { _ = p.bar.Add(1) } // fails only when the writer does

// set notes how many parts are done.
func (p *progress) set(parts int) { _ = p.bar.Set(parts) }

// clear ends the step without a word.
func (p *progress) clear() {
	_ = p.bar.Clear()
	_ = p.bar.Exit()
}

// end finishes the step and prints what came of it.
func (p *progress) end(format string, args ...any) {
	p.clear()
	took := time.Since(p.start)
	p.took[strings.ReplaceAll(p.name, " ", "_")] = seconds(took)
	fmt.Fprintf(p.w, "%-10s %6.1f s  %s\n", p.name, took.Seconds(), fmt.Sprintf(format, args...))
}

// warn prints a line between steps.
func (p *progress) warn(format string, args ...any) {
	fmt.Fprintf(p.w, "warning: "+format+"\n", args...)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
