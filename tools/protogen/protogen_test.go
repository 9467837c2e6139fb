package main

import (
	"go/format"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sample = `syntax = "proto3";
package sample;
option go_package = "example.com/sample";
import "google/protobuf/timestamp.proto";
import "sub/leaf.proto";

// Frame is one message on the wire.
message Frame {
  bytes id = 1;
  sub.Leaf leaf = 2;
  google.protobuf.Timestamp sent = 3;
}
`

const subLeaf = `syntax = "proto3";
package sub;
option go_package = "example.com/sample/sub";
message Leaf { uint64 round_trip_ns = 1; }
`

// sources writes files, given as name and content, to a new directory.
func sources(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestWriteThenCheck(t *testing.T) {
	root := sources(t, map[string]string{"frame.proto": sample, "sub/leaf.proto": subLeaf})
	out := t.TempDir()
	names := []string{"frame.proto", "sub/leaf.proto"}
	if err := run(t.Context(), root, out, false, names); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), root, out, true, names); err != nil {
		t.Errorf("check straight after writing: %v", err)
	}

	path := filepath.Join(out, "frame.pb.go")
	code, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"// Frame is one message on the wire.\ntype Frame struct", `"example.com/sample/sub"`, "timestamppb"} {
		if !strings.Contains(string(code), want) {
			t.Errorf("generated code lacks %q", want)
		}
	}
	formatted, err := format.Source(code)
	if err != nil {
		t.Fatal(err)
	}
	if string(formatted) != string(code) {
		t.Error("generated code is not as gofmt leaves it")
	}
}

func TestCheckNamesEveryStaleFile(t *testing.T) {
	root := sources(t, map[string]string{"frame.proto": sample, "sub/leaf.proto": subLeaf})
	out := sources(t, map[string]string{"frame.pb.go": "package sample\n"})
	err := run(t.Context(), root, out, true, []string{"frame.proto", "sub/leaf.proto"})
	if err == nil {
		t.Fatal("check of stale files succeeded")
	}
	for _, want := range []string{"frame.pb.go is stale", filepath.Join("sub", "leaf.pb.go") + " is missing"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got error %q, want it to contain %q", err, want)
		}
	}
	if got, _ := os.ReadFile(filepath.Join(out, "frame.pb.go")); string(got) != "package sample\n" {
		t.Error("check wrote to a stale file")
	}
	if _, err := os.Stat(filepath.Join(out, "sub")); err == nil {
		t.Error("check wrote a missing file")
	}
}

func TestFaultsInSources(t *testing.T) {
	const head = "syntax = \"proto3\";\noption go_package = \"example.com/sample\";\n"
	tests := []struct {
		name    string
		content string
		want    []string
	}{
		{"syntax error", head + "message {}\n", []string{"a.proto:3:9"}},
		{"every unknown type", head + "message M { Foo f = 1; Bar b = 2; }\n", []string{"unknown type Foo", "unknown type Bar"}},
		{"unused import", head + "import \"google/protobuf/any.proto\";\n", []string{"not used"}},
		{"import that does not exist", head + "import \"none.proto\";\n", []string{"none.proto"}},
		{"no go_package", "syntax = \"proto3\";\n", []string{"go_package"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := sources(t, map[string]string{"a.proto": tt.content})
			out := t.TempDir()
			err := run(t.Context(), root, out, false, []string{"a.proto"})
			if err == nil {
				t.Fatal("run succeeded")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got error %q, want it to contain %q", err, want)
				}
			}
			if left, _ := os.ReadDir(out); len(left) > 0 {
				t.Errorf("run left %v behind", left)
			}
		})
	}
}
