package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"sync"
)

// simVersion returns the version with which reports are marked. Where the binary
// does not know its revision, or was built from files that differ from it, the
// hash of the binary takes part: the same files make the same binary.
var simVersion = sync.OnceValue(func() string {
	if unchangedRevision() {
		return version()
	}
	return fmt.Sprintf("%s build %.6x", version(), binaryHash())
})

// unchangedRevision reports whether the binary was built from a revision as it is.
func unchangedRevision() bool {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return false
	}
	settings := make(map[string]string)
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	return settings["vcs.revision"] != "" && settings["vcs.modified"] == "false"
}

// binaryHash returns the hash of the running binary, nil if it cannot be read.
func binaryHash() []byte {
	path, err := os.Executable()
	if err != nil {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil
	}
	return h.Sum(nil)
}
