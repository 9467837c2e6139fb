package experiment

import (
	"bytes"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"

	"github.com/pbnjay/memory"
)

// PeakMemory returns the most memory in bytes that the process ever had resident.
// Where /proc does not tell, it is what the Go runtime has taken from the system.
func PeakMemory() uint64 {
	status, _ := os.ReadFile("/proc/self/status")
	if peak := highWater(status); peak > 0 {
		return peak
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Sys
}

// highWater returns the peak that a status file of /proc names, zero if there is
// none.
func highWater(status []byte) uint64 {
	for line := range bytes.Lines(status) {
		if peak, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
			kib, _ := strconv.ParseUint(strings.TrimSuffix(string(bytes.TrimSpace(peak)), " kB"), 10, 64)
			return kib << 10
		}
	}
	return 0
}

// What a node takes at the least: one that joined, 33 kB as simulated without
// coordinates, and one of a perfect ring that was not needed yet.
const (
	joinedBytes  = 30 << 10
	perfectBytes = 512
)

// tooMany returns an error if the nodes of the ring and so many that join later do not
// fit into the memory of this machine, whatever it is that they do. what names the flags
// they come from.
func (s *Setup) tooMany(what string, joiners int) error {
	each := float64(joinedBytes)
	if s.Perfect {
		each = perfectBytes
	}
	least, all := float64(s.Nodes)*each+float64(joiners)*joinedBytes, float64(memory.TotalMemory())
	return gripe(all == 0 || least <= all, "%s: %d nodes take %.1f GiB of memory at the least, and this machine has %.1f GiB",
		what, s.Nodes+joiners, least/(1<<30), all/(1<<30))
}

// gcPercent returns how much garbage the collector lets gather, in percent of what
// is in use.
func gcPercent() uint64 {
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}
