package pastry

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// coreFiles are the files of the pure core. Together with contact.go, which only
// names libp2p's identity, they are complete: they use nothing declared in
// another file of the package.
var coreFiles = []string{
	"ack.go", "admission.go", "answers.go", "config.go", "deliver.go", "enrol.go", "expire.go", "forward.go", "grant.go", "holders.go", "input.go",
	"join.go", "leafset.go", "leave.go", "memory.go", "merge.go", "message.go", "nearest.go", "neighborhood.go", "nexthop.go",
	"patience.go", "peers.go", "peerset.go", "placebyid.go", "presence.go", "probe.go", "rawnode.go", "repair.go", "seek.go", "snapshot.go",
	"snapshotmessage.go", "snapshotnode.go", "stats.go",
	"suspicion.go", "table.go", "timer.go", "transit.go", "tuning.go",
}

// coreTypes are the types whose methods may be declared in core files only.
var coreTypes = []string{"RawNode", "LeafSet", "Table", "Neighborhood", "timerHeap", "memory", "answers", "joining", "peerSet", "peerState", "tuning", "holders", "ward"}

// coreImports maps the packages the core may import to the only file that may,
// empty for any file.
var coreImports = map[string]string{
	"cmp": "", "errors": "", "math": "", "math/bits": "", "math/rand/v2": "", "slices": "", "time": "",
	"fmt":                              "config.go",
	"github.com/secondbit/pastry/ring": "",
}

// pureNames are all that the core may use of packages that also give access to
// the clock and to the global random source.
var pureNames = map[string][]string{
	"math/rand/v2": {"Rand"},
	"time":         {"Duration", "Nanosecond", "Microsecond", "Millisecond", "Second", "Minute", "Hour"},
}

// orderComment must stand on the line of a range over a map, or on the line
// before, followed by the reason.
const orderComment = "// order does not matter: "

func TestCoreIsPure(t *testing.T) {
	fset := token.NewFileSet()
	files := make(map[string]*ast.File)
	for _, name := range append([]string{"contact.go"}, coreFiles...) {
		f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = f
	}
	for _, fault := range impurities(fset, files) {
		t.Error(fault)
	}
}

// TestCoreFilesAreListed fails when a method of the core's types is declared
// outside the files that are checked.
func TestCoreFilesAreListed(t *testing.T) {
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") || slices.Contains(coreFiles, name) {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && slices.Contains(coreTypes, receiver(fn)) {
				t.Errorf("%s declares %s.%s and is not a file of the core", name, receiver(fn), fn.Name.Name)
			}
		}
	}
}

// receiver returns the name of the type that a method belongs to.
func receiver(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return ""
	}
	x := fn.Recv.List[0].Type
	for {
		switch y := x.(type) {
		case *ast.StarExpr:
			x = y.X
		case *ast.IndexExpr:
			x = y.X
		case *ast.Ident:
			return y.Name
		default:
			return ""
		}
	}
}

// impurities returns what the files, by name, do that the core must not.
// contact.go is exempt from all but completeness.
func impurities(fset *token.FileSet, files map[string]*ast.File) []string {
	p := purity{fset: fset, info: types.Info{Types: make(map[ast.Expr]types.TypeAndValue)}}
	p.typeCheck(files)
	for name, f := range files {
		if name == "contact.go" {
			continue
		}
		p.file, p.imports, p.excused = name, make(map[string]string), make(map[int]bool)
		p.checkImports(f)
		p.checkVariables(f)
		for _, group := range f.Comments {
			for _, c := range group.List {
				if strings.HasPrefix(c.Text, orderComment) {
					p.excused[fset.Position(c.Pos()).Line] = true
				}
			}
		}
		ast.Inspect(f, p.visit)
	}
	slices.Sort(p.faults)
	return p.faults
}

type purity struct {
	fset    *token.FileSet
	info    types.Info
	faults  []string
	file    string
	imports map[string]string // path by name
	excused map[int]bool      // lines that bear an orderComment
}

func (p *purity) fault(at token.Pos, format string, args ...any) {
	p.faults = append(p.faults, fmt.Sprintf("%v: %s", p.fset.Position(at), fmt.Sprintf(format, args...)))
}

// typeCheck finds the types of expressions, as far as they do not come from
// imported packages, and reports names that are declared in no core file.
func (p *purity) typeCheck(files map[string]*ast.File) {
	var all []*ast.File
	for _, f := range files {
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b *ast.File) int { return int(a.Pos() - b.Pos()) })
	conf := types.Config{
		Importer: noImports{},
		Error: func(err error) {
			if e, ok := err.(types.Error); ok && strings.HasPrefix(e.Msg, "undefined: ") {
				p.fault(e.Pos, "%s in the core", e.Msg)
			}
		},
	}
	conf.Check("core", p.fset, all, &p.info)
}

// noImports knows the names of packages and nothing in them: what is imported
// has no type.
type noImports struct{}

func (noImports) Import(path string) (*types.Package, error) {
	return types.NewPackage(path, packageName(path)), fmt.Errorf("%s: %w", path, os.ErrNotExist)
}

func packageName(path string) string {
	path = strings.TrimSuffix(path, "/v2")
	return path[strings.LastIndex(path, "/")+1:]
}

func (p *purity) checkImports(f *ast.File) {
	for _, spec := range f.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		only, ok := coreImports[path]
		if !ok || only != "" && only != p.file {
			p.fault(spec.Pos(), "import of %s", path)
		}
		if spec.Name != nil {
			p.fault(spec.Pos(), "import of %s under another name", path)
		}
		p.imports[packageName(path)] = path
	}
}

// checkVariables reports package-level variables but for arrays of names.
func (p *purity) checkVariables(f *ast.File) {
	for _, d := range f.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
			for _, s := range g.Specs {
				if v := s.(*ast.ValueSpec); !isNames(v) {
					p.fault(v.Pos(), "package-level variable %s", v.Names[0].Name)
				}
			}
		}
	}
}

func isNames(v *ast.ValueSpec) bool {
	if len(v.Values) != 1 {
		return false
	}
	lit, ok := v.Values[0].(*ast.CompositeLit)
	if !ok {
		return false
	}
	array, ok := lit.Type.(*ast.ArrayType)
	if !ok || array.Len == nil {
		return false
	}
	elem, ok := array.Elt.(*ast.Ident)
	return ok && elem.Name == "string"
}

// visit reports the constructs that make a program depend on more than its
// inputs.
func (p *purity) visit(node ast.Node) bool {
	switch n := node.(type) {
	case *ast.GoStmt:
		p.fault(n.Pos(), "go statement")
	case *ast.ChanType:
		p.fault(n.Pos(), "channel type")
	case *ast.SendStmt:
		p.fault(n.Pos(), "send")
	case *ast.SelectStmt:
		p.fault(n.Pos(), "select")
	case *ast.UnaryExpr:
		if n.Op == token.ARROW {
			p.fault(n.Pos(), "receive")
		}
	case *ast.SelectorExpr:
		if x, ok := n.X.(*ast.Ident); ok {
			path := p.imports[x.Name]
			if names := pureNames[path]; names != nil && !slices.Contains(names, n.Sel.Name) {
				p.fault(n.Pos(), "%s.%s", x.Name, n.Sel.Name)
			}
		}
	case *ast.RangeStmt:
		p.checkRange(n)
	}
	return true
}

func (p *purity) checkRange(n *ast.RangeStmt) {
	tv, ok := p.info.Types[n.X]
	if !ok || tv.Type == nil {
		return
	}
	line := p.fset.Position(n.Pos()).Line
	if _, isMap := tv.Type.Underlying().(*types.Map); isMap && !p.excused[line] && !p.excused[line-1] {
		p.fault(n.Pos(), "range over a map without %q", orderComment)
	}
}

// TestImpuritiesAreFound shows that the check above sees what it forbids, and
// nothing else.
func TestImpuritiesAreFound(t *testing.T) {
	const (
		allowed = ""
		state   = "type node struct { m map[string]int }\n"
	)
	for _, tt := range []struct {
		name, file, src, want string
	}{
		{"pure", "core.go", "import \"slices\"\nvar names = [2]string{\"a\", \"b\"}\nfunc f(a []int) { slices.Sort(a); for range a {} }", allowed},
		{"type Rand", "core.go", "import \"math/rand/v2\"\nfunc f(r *rand.Rand) int { return r.IntN(5) }", allowed},
		{"durations", "core.go", "import \"time\"\nconst d time.Duration = 5 * time.Second", allowed},
		{"fmt in config.go", "config.go", "import \"fmt\"\nfunc f() error { return fmt.Errorf(\"x\") }", allowed},
		{"excused range", "core.go", state + "func f(n *node) { for range n.m { // order does not matter: counted\n } }", allowed},
		{"excused before", "core.go", state + "func f(n *node) {\n// order does not matter: counted\nfor range n.m { } }", allowed},

		{"fmt", "core.go", "import \"fmt\"\nfunc f() error { return fmt.Errorf(\"x\") }", "import of fmt"},
		{"sync", "core.go", "import \"sync\"\nfunc f(m *sync.Mutex) {}", "import of sync"},
		{"atomic", "core.go", "import \"sync/atomic\"\nfunc f(m *atomic.Int64) {}", "import of sync/atomic"},
		{"context", "core.go", "import \"context\"\nfunc f(context.Context) {}", "import of context"},
		{"log", "core.go", "import \"log/slog\"\nfunc f() { slog.Info(\"x\") }", "import of log/slog"},
		{"os", "core.go", "import \"os\"\nfunc f() { os.Exit(1) }", "import of os"},
		{"crypto", "core.go", "import \"crypto/rand\"\nfunc f() { rand.Text() }", "import of crypto/rand"},
		{"libp2p", "core.go", "import \"github.com/libp2p/go-libp2p/core/peer\"\nfunc f(peer.ID) {}", "import of github.com/libp2p/go-libp2p/core/peer"},
		{"renamed", "core.go", "import clock \"time\"\nvar _ = [1]string{}\nfunc f() { clock.Now() }", "under another name"},
		{"go", "core.go", "func f() { go f() }", "go statement"},
		{"channel", "core.go", "func f(c chan int) {}", "channel type"},
		{"send", "core.go", "func f() { c := g(); c <- 1 }\nfunc g() int { return 0 }", "send"},
		{"receive", "core.go", "func f() { c := g(); <-c }\nfunc g() int { return 0 }", "receive"},
		{"select", "core.go", "func f() { select {} }", "select"},
		{"clock", "core.go", "import \"time\"\nfunc f() { time.Now() }", "time.Now"},
		{"timer", "core.go", "import \"time\"\nfunc f() { time.AfterFunc(1, f) }", "time.AfterFunc"},
		{"calendar", "core.go", "import \"time\"\nfunc f(time.Time) {}", "time.Time"},
		{"global random source", "core.go", "import \"math/rand/v2\"\nfunc f() int { return rand.IntN(5) }", "rand.IntN"},
		{"own source", "core.go", "import \"math/rand/v2\"\nfunc f() *rand.Rand { return rand.New(nil) }", "rand.New"},
		{"variable", "core.go", "var count int", "package-level variable count"},
		{"variable map", "core.go", "var known = map[string]int{}", "package-level variable known"},
		{"variable slice", "core.go", "var known = []string{\"a\"}", "package-level variable known"},
		{"map field", "core.go", state + "func f(n *node) { for k := range n.m { println(k) } }", "range over a map"},
		{"map local", "core.go", "func f() { m := make(map[int]int); for range m {} }", "range over a map"},
		{"map of imported keys", "core.go", "import \"time\"\nfunc f(m map[time.Duration]int) { for range m {} }", "range over a map"},
		{"map result", "core.go", "func f() { for range g() {} }\nfunc g() map[int]int { return nil }", "range over a map"},
		{"excused without a reason", "core.go", state + "func f(n *node) { for range n.m { // order does not matter\n } }", "range over a map"},
		{"name from elsewhere", "core.go", "func f() { dial() }", "undefined: dial"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, tt.file, "package core\n"+tt.src, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			got := impurities(fset, map[string]*ast.File{tt.file: f})
			switch {
			case tt.want == allowed && len(got) > 0:
				t.Errorf("faults are %q, want none", got)
			case tt.want != allowed && !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, tt.want) }):
				t.Errorf("faults are %q, want one that says %q", got, tt.want)
			}
		})
	}
}
