package experiment

import (
	"context"

	"github.com/spf13/pflag"
)

// Experiment is something that can be measured in the simulator.
type Experiment struct {
	Name  string // as on the command line
	Short string // one line
	Long  string // what is done, what is measured, and whose figures it is held against
	// New returns a run with the default parameters.
	New func() Run
	// Blank returns an empty report, into which the JSON form of one can be read.
	Blank func() Report
	// Figures draws one or more reports of this experiment, which differ in the
	// parameters that were swept.
	Figures func(reports []Report) []Figure
}

// Run is an experiment with its parameters. It may be run once.
type Run interface {
	// Flags adds a flag for every parameter.
	Flags(fs *pflag.FlagSet)
	// Check returns an error that names every bad parameter. Run returns it as well.
	Check() error
	// Run blocks until the experiment is over, or ctx is.
	Run(ctx context.Context, p *Progress) (Report, error)
}

// Report is what a run measured. Its JSON form is a flat object with the fields
// of Header and those of the experiment.
type Report interface {
	// Head returns what every report has.
	Head() *Header
	// Rows returns the report as a table.
	Rows() []Row
}

// Header tells how a report came about.
type Header struct {
	Experiment  string  `json:"experiment"`
	Command     string  `json:"command"` // that gives this report again
	Seed        uint64  `json:"seed"`
	Nodes       int     `json:"nodes"`
	LeafSet     int     `json:"leafset"`
	DigitBits   int     `json:"digit_bits"`
	Topology    string  `json:"topology"`
	Built       string  `json:"built"` // "joins" or "perfect tables"
	VirtualTime float64 `json:"virtual_seconds"`
	WallTime    float64 `json:"wall_seconds"`
	Events      uint64  `json:"events"`
	Packets     uint64  `json:"packets"`
	PeakMemory  uint64  `json:"peak_memory_bytes,omitempty"` // of the process up to then, runs before included
	GOGC        uint64  `json:"gogc,omitempty"`              // percentage of garbage that the collector let gather, which that depends on

	// Faults is what must never happen, such as a second delivery while who
	// delivered first is alive: the first such things. Empty if nothing did.
	Faults []string `json:"faults,omitempty"`
}

// Head returns the header itself; reports embed it.
func (h *Header) Head() *Header { return h }

// named returns the name of a series of this report, which says so if the ring was
// not built by joins.
func (h *Header) named(series string) string {
	if h.Built == perfectTables {
		return series + ", " + perfectTables
	}
	return series
}

// Row is a line of a report for people.
type Row struct {
	Name  string
	Value string // with its unit
	Paper string // the same figure in the literature, empty if there is none
}

// Figure is a plot, yet without form or colour.
type Figure struct {
	Name       string // of its file, such as "hops-distribution"
	Title      string
	X, Y       string // labels of the axes, with units
	LogX, LogY bool
	Series     []Series
}

// Series is a curve of a Figure.
type Series struct {
	Name   string
	Style  Style
	Points []Point
	Paper  bool // from the literature, not from a run
}

// Style is how a Series is drawn.
type Style uint8

// The styles of a Series.
const (
	Line Style = iota // a line with a mark at each point
	Step              // a line without marks, for distributions with many points
	Bars              // a bar at each point
)

// Point is a point of a Series.
type Point struct{ X, Y float64 }
