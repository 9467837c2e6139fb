package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

// asCommand is the variable of the environment with which the test binary is the
// command.
const asCommand = "PASTRY_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	// It ends a second after the database is closed.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"))
}

// pastryCommand carries out one command line and returns what it printed.
func pastryCommand(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	return pastryInput(t, "", args...)
}

// pastryInput is pastryCommand with something on standard input.
func pastryInput(t *testing.T, stdin string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	status = run(ctx, args, strings.NewReader(stdin), &out, &errs)
	return status, out.String(), errs.String()
}

// mustRun is pastryCommand for a command that must succeed.
func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	status, stdout, stderr := pastryCommand(t, args...)
	if status != 0 {
		t.Fatalf("pastry %s: exit status %d\n%s", strings.Join(args, " "), status, stderr)
	}
	return stdout
}

func TestNormalizeArgs(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"one dash", "demo -nodes 8 -json", "demo --nodes 8 --json"},
		{"two dashes", "demo --nodes 8 --json", "demo --nodes 8 --json"},
		{"with equals sign", "demo -nodes=8 -message-timeout=1s", "demo --nodes=8 --message-timeout=1s"},
		{"single letter", "demo -h", "demo -h"},
		{"long help", "-help", "--help"},
		{"before the command", "-version", "--version"},
		{"unknown flags too", "demo -nods 8", "demo --nods 8"},
		{"value with a dash", "node -region -mode -mode client", "node --region -mode --mode client"},
		{"value that is a number", "demo -kill -1", "demo --kill -1"},
		{"no value after a switch", "demo -json -kill 2", "demo --json --kill 2"},
		{"negative number", "route -5", "route -5"},
		{"lone dash", "route -", "route -"},
		{"after the end of flags", "route -json -- -hello -id", "route --json -- -hello -id"},
		{"the same name elsewhere", "info -json -control x", "info --json --control x"},
		{"completion", "__complete demo -nodes 3 -ki", "__complete demo --nodes 3 --ki"},
		{"nothing", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := normalizeArgs(newRoot(), strings.Fields(tt.in))
			if diff := cmp.Diff(got, append([]string{}, strings.Fields(tt.want)...)); diff != "" {
				t.Errorf("got(-) want(+):\n%s", diff)
			}
		})
	}
}

func TestMisuse(t *testing.T) {
	none := t.TempDir() + "/none"
	tests := []struct{ name, args, want string }{
		{"all killed", "demo -nodes 8 -kill 8", "kill at most 6"},
		{"one node", "demo -nodes 1", "give at least 2"},
		{"several faults", "demo -nodes 1 -concurrency 0", "-concurrency 0: give at least 1"},
		{"too many finders", "demo -nodes 8 -kill 4 -finders 4", "give at most that"},
		{"no time", "demo -message-timeout 0s", "give a positive time"},
		{"odd leaf set", "demo -nodes 4 -kill 0 -finders 1 -leafset 3", "must be even"},
		{"no such directory", "demo -dir " + none, "choose a directory with -dir"},
		{"unknown flag", "demo -nods 8", `"pastry demo -help" lists the flags`},
		{"unknown command", "dome", `unknown command "dome"`},
		{"number that is none", "demo -nodes many", "invalid argument"},
		{"join without peer ID", "node -join /ip4/127.0.0.1/tcp/1", "give an address as"},
		{"unknown mode", "node -mode none", "give auto, server or client"},
		{"no passphrase", "node -passphrase-file " + none, "-passphrase-file"},
		{"short prefix", "node -prefix x", "must start"},
		{"listen nowhere", "node -listen nowhere", "-listen sets its addresses"},
		{"route nothing", "route", "accepts between 1 and 2 arg"},
		{"not a ring id", "route -id hello", "without -id"},
		{"no patience", "route hello -timeout -1s", "give a positive time"},
		{"no node", "route hello -control " + none, `start one with "pastry node"`},
		{"QUIC in a private network", "node -psk x -listen /ip4/127.0.0.1/udp/0/quic-v1", "with -psk only TCP can be used"},
		{"no private network", "node -psk " + none, "-psk"},
		{"namespace with a slash", "node -namespace /app", "without slashes"},
		{"namespace of signed values", "node -namespace ipns", "choose another name"},
		{"several bad namespaces", "node -namespace pk -namespace a/b", "-namespace \"a/b\""},
		{"put nothing", "put /app/x", "nothing to put"},
		{"put two values", "put /app/x y -file z", "not both"},
		{"put no file", "put /app/x -file " + none, "-file"},
		{"put under no key", "put greeting hello", "write it as /NAMESPACE/NAME"},
		{"put under a namespace", "put /app hello", "write it as /NAMESPACE/NAME"},
		{"put under no name", "put /app/ hello", "write it as /NAMESPACE/NAME"},
		{"put under no peer", "put /ipns/hello world", "is a peer ID"},
		{"get nothing", "get", "accepts 1 arg"},
		{"get without key", "get greeting", "write it as /NAMESPACE/NAME"},
		{"less than no quorum", "get /app/x -quorum -1", "or 0 for all"},
		{"get at no node", "get /app/x -control " + none, `start one with "pastry node"`},
		{"get without patience", "get /app/x -timeout 0s", "give a positive time"},
		{"provide nothing", "provide", "nothing to provide"},
		{"provide neither", "provide " + none, "neither a CID nor a file"},
		{"provide a directory", "provide .", "not a regular file"},
		{"provide two kinds", "provide -stdin " + none, "not both"},
		{"provide empty input", "provide -stdin", "standard input has no CID"},
		{"keep and stop", "provide -keep -stop " + none, "none of the others can be"},
		{"provide without patience", "provide -timeout -1s " + none, "give a positive time"},
		{"find no CID", "findprovs hello", "is no CID"},
		{"find less than none", "findprovs -n -1 bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy", "or 0 for all"},
		{"find no peer", "findpeer hello", "is no peer ID"},
		{"no node to inspect", "info -control " + none, `start one with "pastry node"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, stdout, stderr := pastryCommand(t, strings.Fields(tt.args)...)
			if status != 1 {
				t.Errorf("exit status %d, want 1", status)
			}
			if stdout != "" {
				t.Errorf("standard output %q, want nothing", stdout)
			}
			if !strings.Contains(stderr, tt.want) {
				t.Errorf("got %q, want it to say %q", stderr, tt.want)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	for _, name := range []string{"demo", "node", "route", "info", "put", "get", "provide", "findprovs", "findpeer"} {
		t.Run(name, func(t *testing.T) {
			if got := mustRun(t, name, "-help"); !strings.Contains(got, "Examples:\n  pastry "+name) {
				t.Errorf("help has no examples:\n%s", got)
			}
		})
	}
	if got := mustRun(t, "-version"); !strings.HasPrefix(got, "pastry version ") {
		t.Errorf("got version %q", got)
	}
	if got := mustRun(t, "completion", "bash"); !strings.Contains(got, "__start_pastry") {
		t.Error("no completion script for bash")
	}
	if got := mustRun(t, "__complete", "node", "-mode", ""); !strings.HasPrefix(got, "auto\nserver\nclient\n") {
		t.Errorf("got %q for the modes", got)
	}
}

// output is a buffer to which a command writes while it runs, and from which a
// test waits for a line.
type output struct {
	mu   sync.Mutex // guards what follows
	text bytes.Buffer
	more chan struct{} // closed and replaced when text grows
}

func newOutput() *output { return &output{more: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.more)
	o.more = make(chan struct{})
	return o.text.Write(p)
}

func (o *output) state() (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String(), o.more
}

// line waits for a whole line that starts with prefix and returns the rest of
// it, without space around; false when ctx ends first.
func (o *output) line(ctx context.Context, prefix string) (string, bool) {
	for {
		text, more := o.state()
		for l := range strings.Lines(text) {
			if rest, ok := strings.CutPrefix(l, prefix); ok && strings.HasSuffix(l, "\n") {
				return strings.TrimSpace(rest), true
			}
		}
		select {
		case <-more:
		case <-ctx.Done():
			return "", false
		}
	}
}

// shortTempDir is t.TempDir with a path short enough for sockets.
func shortTempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "p")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
