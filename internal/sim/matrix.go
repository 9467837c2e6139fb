package sim

import (
	"bytes"
	_ "embed"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// matrix is a topology of sites with measured round trips between them. Each
// node is at a random site, behind an access link of its own, so that no two are
// equally far from a third.
type matrix struct {
	name  string
	sites []string
	half  [][]time.Duration // half the round trip between two sites
}

// The access links of nodes within a site.
const (
	siteAccess       = 50 * time.Microsecond // median
	siteAccessSpread = 0.5                   // standard deviation of the logarithm
)

func (m *matrix) Name() string { return m.name }

func (m *matrix) Place(rng *rand.Rand) Place {
	site := rng.IntN(len(m.sites))
	return Place{Site: int32(site), Access: access(rng, siteAccess, siteAccessSpread)}
}

func (m *matrix) Delay(a, b *Place) time.Duration {
	return m.half[a.Site][b.Site] + a.Access + b.Access
}

//go:embed regions.csv
var regionsFile []byte

var regions = sync.OnceValues(func() (Topology, error) { return ReadMatrix("regions", bytes.NewReader(regionsFile)) })

func openMatrix(path string) (Topology, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf(`topology %q is neither "plane", "sphere" nor "regions", and no file: %w`, path, err)
	}
	defer f.Close()
	return ReadMatrix(path, f)
}

const (
	maxSites     = 4096
	maxRoundTrip = 60_000 // milliseconds
)

// ReadMatrix reads a topology of sites in CSV:
//
//	# round trips in milliseconds
//	site,   Paris, Tokyo, Quito
//	Paris,      1,   230,   160
//	Tokyo,    228,     1,
//	Quito,    160,   190,     1
//
// The first line names the sites; every further line has the name of one, in the
// same order, and the round trips between it and each site. The two directions
// of a pair are averaged, or one may be empty. The diagonal is the round trip
// between two nodes of a site; empty, it is 1. Lines that begin with # and empty
// lines are passed over. An error says in which line and column what is wrong.
func ReadMatrix(name string, r io.Reader) (Topology, error) {
	m, err := readMatrix(r)
	if err != nil {
		return nil, fmt.Errorf("topology %s: %w", name, err)
	}
	m.name = name
	return m, nil
}

func readMatrix(r io.Reader) (*matrix, error) {
	in := csv.NewReader(r)
	in.Comment, in.FieldsPerRecord, in.TrimLeadingSpace = '#', -1, true
	head, err := in.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("no line with the names of sites")
	}
	if err != nil {
		return nil, err
	}
	m := new(matrix)
	if err := m.nameSites(in, head); err != nil {
		return nil, err
	}
	way := make([][]float64, len(m.sites)) // round trips in milliseconds, zero if not given
	for i := range way {
		if way[i], err = m.readRow(in, i); err != nil {
			return nil, err
		}
	}
	if row, err := in.Read(); err == nil {
		return nil, at(in, 0, "line for %q after the last site", row[0])
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return m, m.fill(way)
}

// at returns an error that names the place of a field.
func at(in *csv.Reader, field int, format string, args ...any) error {
	line, column := in.FieldPos(field)
	return fmt.Errorf("line %d, column %d: %s", line, column, fmt.Sprintf(format, args...))
}

// nameSites takes the names of the sites from the first line.
func (m *matrix) nameSites(in *csv.Reader, head []string) error {
	if n := len(head) - 1; n < 1 || n > maxSites {
		return at(in, 0, "%d sites, must be 1 to %d", n, maxSites)
	}
	seen := make(map[string]bool)
	for i, s := range head[1:] {
		s = strings.TrimSpace(s)
		if s == "" {
			return at(in, i+1, "site without a name")
		}
		if seen[s] {
			return at(in, i+1, "second site %q", s)
		}
		seen[s] = true
		m.sites = append(m.sites, s)
	}
	return nil
}

// readRow reads the line of site i.
func (m *matrix) readRow(in *csv.Reader, i int) ([]float64, error) {
	row, err := in.Read()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("no line for %q", m.sites[i])
	}
	if err != nil {
		return nil, err
	}
	if got := strings.TrimSpace(row[0]); got != m.sites[i] {
		return nil, at(in, 0, "line is for %q, want %q", got, m.sites[i])
	}
	if len(row) != len(m.sites)+1 {
		return nil, at(in, len(row)-1, "%d round trips, want %d", len(row)-1, len(m.sites))
	}
	way := make([]float64, len(m.sites))
	for k, s := range row[1:] {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		v, err := strconv.ParseFloat(s, 64)
		if err != nil || !(v > 0 && v <= maxRoundTrip) {
			return nil, at(in, k+1, "round trip %q, must be a number of milliseconds above 0, at most %d", s, maxRoundTrip)
		}
		way[k] = v
	}
	return way, nil
}

// fill averages the two directions.
func (m *matrix) fill(way [][]float64) error {
	n := len(m.sites)
	m.half = make([][]time.Duration, n)
	for i := range m.half {
		m.half[i] = make([]time.Duration, n)
	}
	for i := range n {
		for k := range i + 1 {
			a, b := way[i][k], way[k][i]
			switch {
			case a == 0 && b == 0 && i != k:
				return fmt.Errorf("no round trip between %q and %q", m.sites[k], m.sites[i])
			case a == 0 && b == 0:
				a, b = 1, 1
			case a == 0:
				a = b
			case b == 0:
				b = a
			}
			d := time.Duration((a + b) / 4 * float64(time.Millisecond))
			m.half[i][k], m.half[k][i] = d, d
		}
	}
	return nil
}
