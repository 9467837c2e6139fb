package records

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// pureFiles have neither a goroutine nor a clock, a lock or a datastore, so that
// a simulation can drive them.
var pureFiles = []string{
	"arc.go", "handover.go", "index.go", "members.go", "reconcile.go", "replication.go", "session.go", "task.go",
}

// pureImports are the packages that they may import, and of some the only names.
var pureImports = map[string][]string{
	"encoding/binary": nil, "errors": nil, "fmt": {"Errorf"}, "math": nil, "slices": nil,
	"math/rand/v2":                     {"Rand"},
	"time":                             {"Time", "Duration", "Nanosecond", "Microsecond", "Millisecond", "Second", "Minute", "Hour"},
	"github.com/secondbit/pastry/pb":   nil,
	"github.com/secondbit/pastry/ring": nil,
}

func TestPolicyIsPure(t *testing.T) {
	for _, name := range pureFiles {
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, fault := range impure(fset, f) {
			t.Error(fault)
		}
	}
}

// impure returns what a file does that makes it depend on more than its inputs.
func impure(fset *token.FileSet, f *ast.File) (faults []string) {
	fault := func(n ast.Node, format string, args ...any) {
		faults = append(faults, fmt.Sprintf("%v: %s", fset.Position(n.Pos()), fmt.Sprintf(format, args...)))
	}
	names := make(map[string][]string)
	for _, spec := range f.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		if only, ok := pureImports[path]; !ok || spec.Name != nil {
			fault(spec, "import of %s", path)
		} else if only != nil {
			path = strings.TrimSuffix(path, "/v2")
			names[path[strings.LastIndex(path, "/")+1:]] = only
		}
	}
	ast.Inspect(f, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.GoStmt, *ast.ChanType, *ast.SendStmt, *ast.SelectStmt, *ast.MapType:
			fault(n, "%T", n)
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				fault(n, "receive")
			}
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if only := names[fmt.Sprint(x)]; ok && only != nil && !slices.Contains(only, n.Sel.Name) {
				fault(n, "%s.%s", x.Name, n.Sel.Name)
			}
		case *ast.GenDecl:
			if n.Tok == token.VAR && slices.Contains(f.Decls, ast.Decl(n)) && !isError(n) {
				fault(n, "package-level variable")
			}
		}
		return true
	})
	return faults
}

// isError reports whether a declaration is of errors only.
func isError(d *ast.GenDecl) bool {
	return !slices.ContainsFunc(d.Specs, func(s ast.Spec) bool {
		return !strings.HasPrefix(s.(*ast.ValueSpec).Names[0].Name, "Err")
	})
}

// TestImpureIsFound shows that the check sees what it forbids, and nothing else.
func TestImpureIsFound(t *testing.T) {
	for _, tt := range []struct{ name, src, want string }{
		{"time", "import \"time\"\nfunc f(now time.Time) time.Time { return now.Add(time.Second) }", ""},
		{"error", "import \"errors\"\nvar ErrX = errors.New(\"x\")", ""},
		{"clock", "import \"time\"\nfunc f() { time.Now() }", "time.Now"},
		{"since", "import \"time\"\nfunc f(t time.Time) { time.Since(t) }", "time.Since"},
		{"timer", "import \"time\"\nfunc f() { time.AfterFunc(1, f) }", "time.AfterFunc"},
		{"renamed", "import x \"time\"\nfunc f() { x.Now() }", "import of time"},
		{"print", "import \"fmt\"\nfunc f() { fmt.Println() }", "fmt.Println"},
		{"random", "import \"math/rand/v2\"\nfunc f() { rand.Int() }", "rand.Int"},
		{"context", "import \"context\"\nfunc f(context.Context) {}", "import of context"},
		{"sync", "import \"sync\"\nfunc f(*sync.Mutex) {}", "import of sync"},
		{"libp2p", "import \"github.com/libp2p/go-libp2p/core/peer\"\nfunc f(peer.ID) {}", "import of github.com/libp2p"},
		{"go", "func f() { go f() }", "GoStmt"},
		{"channel", "func f(chan int) {}", "ChanType"},
		{"receive", "func f() { <-g() }", "receive"},
		{"select", "func f() { select {} }", "SelectStmt"},
		{"map", "func f(map[int]int) {}", "MapType"},
		{"variable", "var x int", "package-level variable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, "x.go", "package x\n"+tt.src, 0)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(impure(fset, f), "\n")
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
