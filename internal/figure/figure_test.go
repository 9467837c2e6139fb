package figure

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"image/color"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gonum.org/v1/plot/vg"

	"github.com/secondbit/pastry/internal/experiment"
)

var update = flag.Bool("update", false, "write the golden files anew")

// samples are figures with everything that can be in one.
func samples() []experiment.Figure {
	return []experiment.Figure{
		{Name: "lines", Title: "Hops & size", X: "nodes", Y: "mean hops", LogX: true, Series: []experiment.Series{
			{Name: "plane, b=4", Points: []experiment.Point{{X: 100_000, Y: 3.9}, {X: 1000, Y: 2.3}}},
			{Name: "sphere, b=4", Points: []experiment.Point{{X: 1000, Y: 2.4}, {X: 100_000, Y: math.NaN()}}},
			{Name: "Rowstron and Druschel (2001)", Paper: true, Points: []experiment.Point{{X: 1000, Y: 2.5}, {X: 100_000, Y: 3.98}}},
		}},
		{Name: "bars", Title: "Distribution", X: "hops", Y: "share", Series: []experiment.Series{
			{Name: "ours", Style: experiment.Bars, Points: []experiment.Point{{X: 1, Y: .2}, {X: 2, Y: .8}}},
			{Name: "theirs", Style: experiment.Bars, Paper: true, Points: []experiment.Point{{X: 2, Y: .7}, {X: 3, Y: .3}}},
		}},
		{Name: "zero", Title: "Lost", X: "minutes", Y: "share", LogX: true, LogY: true, Series: []experiment.Series{
			{Name: "lost", Points: []experiment.Point{{X: 5, Y: 1e-3}, {X: 600, Y: 0}}},
		}},
		{Name: "steps", Title: "One point " + strings.Repeat("and a long title ", 8), X: "seconds", Y: "share", Series: []experiment.Series{
			{Name: "all at once", Style: experiment.Step, Points: []experiment.Point{{X: 3, Y: 1}}},
		}},
		{Name: "longname", Title: "A series with much to say", X: "minutes", Y: "share", Series: []experiment.Series{
			{Name: "lost", Points: []experiment.Point{{X: 3, Y: 1}, {X: 4, Y: 1}}},
			{Name: "lost, " + strings.Repeat("and a name longer than a line, ", 8) + "the end", Points: []experiment.Point{{X: 3, Y: 2}, {X: 4, Y: 2}}},
			{Name: "found", Points: []experiment.Point{{X: 3, Y: 3}, {X: 4, Y: 3}}},
		}},
		{Name: "barslog", Title: "Bars on logarithmic axes", X: "nodes", Y: "packets", LogX: true, LogY: true, Series: []experiment.Series{
			{Name: "packets", Style: experiment.Bars, Points: []experiment.Point{{X: 0, Y: 3}, {X: 10, Y: 0}, {X: 1000, Y: 1e8}}},
		}},
	}
}

// The same figure gives the same bytes, now and tomorrow.
func TestSVG(t *testing.T) {
	for _, f := range samples() {
		t.Run(f.Name, func(t *testing.T) {
			got, err := SVG(f)
			if err != nil {
				t.Fatal(err)
			}
			again, err := SVG(f)
			if err != nil || !bytes.Equal(got, again) {
				t.Errorf("drawn twice, the bytes differ (%v)", err)
			}
			checkXML(t, got)
			checkWidth(t, got)
			golden := filepath.Join("testdata", f.Name+".svg")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(got), string(want)); diff != "" {
				t.Errorf("look at it, and run with -update if it is as it should be; got(-) want(+):\n%s", diff)
			}
		})
	}
}

// checkXML fails unless the document can be parsed and holds no value that cannot
// be drawn.
func checkXML(t *testing.T, doc []byte) {
	t.Helper()
	for d := xml.NewDecoder(bytes.NewReader(doc)); ; {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for _, bad := range []string{"NaN", "Inf"} {
		if bytes.Contains(doc, []byte(bad)) {
			t.Errorf("the document has %s in it", bad)
		}
	}
}

var drawnText = regexp.MustCompile(`<text x="([0-9.]+)" y="[^"]*" transform="scale\(1, -1\)"\s[^>]*font-size:10px[^>]*>([^<]*)</text>`)

// checkWidth fails if a text begins in the picture and goes beyond its right edge.
func checkWidth(t *testing.T, doc []byte) {
	t.Helper()
	texts := drawnText.FindAllSubmatch(doc, -1)
	if len(texts) == 0 {
		t.Error("no text is found in the document")
	}
	for _, m := range texts {
		x, err := strconv.ParseFloat(string(m[1]), 64)
		if end := vg.Length(x) + letters(10, false).Width(string(m[2])); err != nil || end > width {
			t.Errorf("%q ends at %v, beyond the edge at %v (%v)", m[2], end, width, err)
		}
	}
}

func TestPNG(t *testing.T) {
	for _, f := range samples() {
		t.Run(f.Name, func(t *testing.T) {
			data, err := PNG(f)
			if err != nil {
				t.Fatal(err)
			}
			again, err := PNG(f)
			if err != nil || !bytes.Equal(data, again) {
				t.Errorf("drawn twice, the bytes differ (%v)", err)
			}
			img, err := png.Decode(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			if got := img.Bounds().Size(); got.X != 1280 || got.Y != 840 {
				t.Errorf("got %v, want 1280 by 840", got)
			}
			if got := color.RGBAModel.Convert(img.At(0, 0)); got != (color.RGBA{255, 255, 255, 255}) {
				t.Errorf("got %v in a corner, want white", got)
			}
		})
	}
}

func TestWrite(t *testing.T) {
	base := filepath.Join(t.TempDir(), "x")
	if err := Write(base, samples()[0]); err != nil {
		t.Fatal(err)
	}
	for _, ext := range []string{".svg", ".png"} {
		if info, err := os.Stat(base + ext); err != nil || info.Size() == 0 {
			t.Errorf("no %s: %v", ext, err)
		}
	}
}

func TestNoPoints(t *testing.T) {
	f := experiment.Figure{Name: "empty", Series: []experiment.Series{{Name: "none", Points: []experiment.Point{{X: math.Inf(1), Y: 1}}}}}
	if err := Write(filepath.Join(t.TempDir(), "x"), f); !errors.Is(err, ErrNoPoints) {
		t.Errorf("got %v, want ErrNoPoints", err)
	}
}

// The literature leaves our colours alone.
func TestLooks(t *testing.T) {
	ours, more := experiment.Series{Name: "ours"}, experiment.Series{Name: "ours too"}
	paper := experiment.Series{Name: "paper", Paper: true}
	with, without := looks([]experiment.Series{paper, ours, paper, more}), looks([]experiment.Series{ours, more})
	if with[1].line.Color != without[0].line.Color || with[3].line.Color != without[1].line.Color {
		t.Error("a colour changes when the literature is shown")
	}
	if with[0].line.Dashes == nil || with[1].line.Dashes != nil {
		t.Error("not the literature is dashed, but we are")
	}
	var ten []experiment.Series
	for i := range 10 {
		ten = append(ten, experiment.Series{Name: fmt.Sprint(i)})
	}
	if many := looks(ten); many[0].line.Color != many[7].line.Color || many[7].line.Dashes == nil {
		t.Error("when the colours begin again, lines are not dashed")
	}
	if same := looks([]experiment.Series{ours, more, ours}); same[0].line.Color != same[2].line.Color || same[0].line.Color == same[1].line.Color {
		t.Error("not those of the same name have the same colour")
	}
}

func TestShareNames(t *testing.T) {
	tests := []struct {
		name   string
		names  []string
		common string
		want   []string
	}{
		{"common end", []string{"100 nodes, plane, b=4", "200 nodes, plane, b=4"}, "plane, b=4", []string{"100 nodes", "200 nodes"}},
		{"one", []string{"100 nodes, plane"}, "", []string{"100 nodes, plane"}},
		{"nothing", []string{"lost, 5%", "wrong, 1%"}, "", []string{"lost, 5%", "wrong, 1%"}},
		{"the same", []string{"a, b", "a, b"}, "b", []string{"a", "a"}},
		{"different lengths", []string{"a, x, y", "y, y"}, "y", []string{"a, x", "y"}},
		{"no parts", []string{"a", "b"}, "", []string{"a", "b"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			series := []experiment.Series{{Name: "paper, b=4", Paper: true}}
			for _, name := range tt.names {
				series = append(series, experiment.Series{Name: name})
			}
			if got := shareNames(series); got != tt.common {
				t.Errorf("got %q in common, want %q", got, tt.common)
			}
			var got []string
			for _, s := range series[1:] {
				got = append(got, s.Name)
			}
			if diff := cmp.Diff(got, tt.want); diff != "" {
				t.Errorf("got(-) want(+):\n%s", diff)
			}
			if series[0].Name != "paper, b=4" {
				t.Error("the literature has lost its name")
			}
		})
	}
}
