package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// simProgress tells a person how far a run is: on a terminal with a line that
// moves, elsewhere with one a minute, and anywhere with a line for each stage that is
// over.
type simProgress struct {
	w        io.Writer
	quiet    bool
	terminal bool

	stage string
	told  time.Time // when the last line was printed
	began time.Time
	done  float64 // share of the stage
	now   func() time.Time
}

func newSimProgress(w io.Writer, quiet bool) *simProgress {
	return &simProgress{w: w, quiet: quiet, terminal: isTerminal(w), now: time.Now}
}

// begin starts a run.
func (p *simProgress) begin() { p.stage, p.done = "", 0 }

// update notes how far the run is; it is an experiment.Progress's.
func (p *simProgress) update(stage string, done float64, left time.Duration) {
	if stage != p.stage {
		p.finish()
		p.stage, p.began = stage, p.now()
		p.told = p.began
	}
	p.done = done
	if p.quiet || !p.terminal && p.now().Sub(p.told) < time.Minute {
		return
	}
	p.told = p.now()
	line := fmt.Sprintf("  %-40s %3.0f%%", stage, 100*done)
	if left >= time.Second {
		line += fmt.Sprintf("  about %v left", roundedTime(left))
	}
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%s", p.fit(line))
	} else {
		fmt.Fprintln(p.w, line)
	}
}

// fit cuts a line to the width of the terminal.
func (p *simProgress) fit(line string) string {
	f, ok := p.w.(*os.File)
	if !ok {
		return line
	}
	if width, _, err := term.GetSize(int(f.Fd())); err == nil && 0 < width && width <= len(line) {
		return line[:width-1]
	}
	return line
}

// finish prints how long the stage took.
func (p *simProgress) finish() {
	if p.stage == "" || p.quiet {
		return
	}
	p.clear()
	fmt.Fprintf(p.w, "  %-40s %8.1f s\n", p.stage, p.now().Sub(p.began).Seconds())
}

// end finishes the run's last stage, if it was brought to its end.
func (p *simProgress) end() {
	if p.done >= 1 {
		p.finish()
	} else {
		p.clear()
	}
}

func (p *simProgress) clear() {
	if p.terminal && !p.quiet {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// where says at which point the run is.
func (p *simProgress) where() string {
	if p.stage == "" {
		return "before the start"
	}
	return fmt.Sprintf("at %.0f%% of %q", 100*p.done, p.stage)
}

// note prints a line between runs.
func (p *simProgress) note(format string, args ...any) {
	if !p.quiet {
		fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// roundedTime returns a time with at most two units: 1h5m, 3m20s, 12s, 0.4s.
func roundedTime(d time.Duration) string {
	switch {
	case d >= time.Hour:
		d = d.Round(time.Minute)
	case d >= time.Second:
		d = d.Round(time.Second)
	default:
		d = d.Round(100 * time.Millisecond)
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
