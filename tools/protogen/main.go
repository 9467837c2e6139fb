// Protogen generates Go code from .proto files. It compiles them itself, so
// that generating needs neither protoc nor a plugin: only Go and the versions
// pinned by this module's go.mod.
//
//	protogen [-check] [-I root] [-out dir] file.proto...
//
// Files are named relative to the root, as an import statement names them. A
// file a/b.proto becomes a/b.pb.go below the output directory. With -check
// nothing is written: each file that is missing or differs from what would be
// generated is named on standard error, and the exit status is 1.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"google.golang.org/protobuf/cmd/protoc-gen-go/internal_gengo"
	"google.golang.org/protobuf/compiler/protogen"
)

func main() {
	root := flag.String("I", ".", "`root` that file names and imports are relative to")
	out := flag.String("out", ".", "`directory` below which Go files are written")
	check := flag.Bool("check", false, "write nothing; fail if a generated file is stale")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: protogen [-check] [-I root] [-out dir] file.proto...")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	var names []string
	for _, name := range flag.Args() {
		names = append(names, path.Clean(filepath.ToSlash(name)))
	}
	if err := run(context.Background(), *root, *out, *check, names); err != nil {
		fmt.Fprintln(os.Stderr, "protogen:", err)
		os.Exit(1)
	}
}

// run generates code for the named files of root. With check set it compares
// the code with what lies below out, and otherwise writes it there.
func run(ctx context.Context, root, out string, check bool, names []string) error {
	generated, err := generate(ctx, root, names)
	if err != nil {
		return err
	}
	visit := write
	if check {
		visit = compare
	}
	var faults []error
	for _, f := range generated {
		name := filepath.Join(out, filepath.FromSlash(f.name))
		faults = append(faults, visit(name, f.content))
	}
	return errors.Join(faults...)
}

// A goFile is a generated file. Its name is relative to the output directory
// and separated by slashes.
type goFile struct {
	name    string
	content []byte
}

// generate returns the code for the named files, in the order of the names.
func generate(ctx context.Context, root string, names []string) ([]goFile, error) {
	request, err := compile(ctx, root, names)
	if err != nil {
		return nil, err
	}
	plugin, err := protogen.Options{}.New(request)
	if err != nil {
		return nil, err
	}
	for _, f := range plugin.Files {
		if f.Generate {
			internal_gengo.GenerateFile(plugin, f)
		}
	}
	response := plugin.Response()
	if response.Error != nil {
		return nil, errors.New(response.GetError())
	}
	var files []goFile
	for _, f := range response.File {
		files = append(files, goFile{f.GetName(), []byte(f.GetContent())})
	}
	return files, nil
}

// write makes the named file hold content, and leaves one that does untouched.
func write(name string, content []byte) error {
	if compare(name, content) == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return err
	}
	return os.WriteFile(name, content, 0o666)
}

// compare returns an error that names the file if it does not hold content.
func compare(name string, content []byte) error {
	got, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s is missing: run go generate", name)
	case err != nil:
		return err
	case !bytes.Equal(got, content):
		return fmt.Errorf("%s is stale: run go generate", name)
	}
	return nil
}
