package testutil

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"runtime/pprof"
	"strings"

	"github.com/libp2p/go-libp2p/core/routing"
)

// Labels of the goroutines that a case starts. A goroutine has the labels of the
// one that started it, so others of the process are told apart.
const (
	caseLabel = "conformance"
	callLabel = "conformance-call"
)

// labelled runs f in a goroutine, and those it starts too, under a label of its
// own, which it returns.
func (k *check) labelled(f func()) string {
	label := k.number()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer k.recoverPanic()
		pprof.SetGoroutineLabels(pprof.WithLabels(k.ctx, pprof.Labels(caseLabel, k.label, callLabel, label)))
		f()
	}()
	<-done
	return label
}

// gone waits for a moment until no goroutine with the label is in the code of the
// routers, which is recognised by the path of its packages, and ends the case
// when one stays. It looks twice, since one that has not run yet is not seen.
func (k *check) gone(what, label string) {
	path := routerPath(k.members[0].Routing)
	looks := 0
	k.until(prompt, func() error {
		looks++
		stacks, err := goroutines(label, path)
		switch {
		case err != nil:
			return err
		case len(stacks) > 0:
			return fmt.Errorf("%s: goroutines go on in %s", what, strings.Join(stacks, ", "))
		case looks < 2:
			return fmt.Errorf("%s: no time to look twice", what)
		}
		return nil
	})
}

// routerPath returns the path of the package that has the type of the router.
func routerPath(r routing.Routing) string {
	t := reflect.TypeOf(r)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.PkgPath()
}

// goroutines returns a function of each goroutine that has the label, and code
// of the package at path or below it on its stack, but not of this suite.
func goroutines(label, path string) ([]string, error) {
	profile := pprof.Lookup("goroutine")
	if profile == nil {
		return nil, errors.New("no goroutine profile")
	}
	var text bytes.Buffer
	if err := profile.WriteTo(&text, 1); err != nil {
		return nil, err
	}
	suite := reflect.TypeFor[check]().PkgPath() + "."
	var found []string
	for stack := range strings.SplitSeq(text.String(), "\n\n") {
		if !strings.Contains(stack, fmt.Sprintf("%q", label)) || strings.Contains(stack, suite) {
			continue
		}
		if f := frame(stack, path); f != "" {
			found = append(found, f)
		}
	}
	return found, nil
}

// frame returns the outermost function of a stack that is in the package at path
// or below it, or the empty string.
func frame(stack, path string) string {
	found := ""
	for line := range strings.Lines(stack) {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[0] != "#" {
			continue
		}
		f, _, _ := strings.Cut(fields[2], "+0x")
		if rest, ok := strings.CutPrefix(f, path); ok && (rest[0] == '.' || rest[0] == '/') {
			found = f
		}
	}
	return found
}
