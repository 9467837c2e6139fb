package pastry

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/pb"
)

// Where a read was answered.
const (
	readReplica = iota
	readRoot
	numReads
)

const numTasks = int(records.TaskPush) + 1

var readNames = [numReads]string{"replica", "root"}

// recordCounts counts what the keeper does beside storing.
type recordCounts struct {
	repairSent, repairReceived atomic.Uint64 // bytes
	given, fetched             atomic.Uint64 // records
	dropped                    atomic.Uint64 // records handed on
	writtenBack                atomic.Uint64 // values
	tasks, failed              [numTasks]atomic.Uint64
	reads                      [numReads]atomic.Uint64
	refusals                   [pb.RecordOutcome_RECORD_OUTCOME_TOO_FEW + 1]atomic.Uint64
}

// refused counts a record that did not verify.
func (c *recordCounts) refused(err error) {
	if err != nil {
		c.refusals[records.Outcome(err)].Add(1)
	}
}

// moved counts those of some records that were taken in.
func (c *recordCounts) moved(outcomes []pb.RecordOutcome, by *atomic.Uint64) {
	for _, o := range outcomes {
		if o == pb.RecordOutcome_RECORD_OUTCOME_OK {
			by.Add(1)
		}
	}
}

// task counts a task of upkeep.
func (c *recordCounts) task(kind records.TaskKind, err error) {
	if err != nil {
		c.failed[kind].Add(1)
	} else {
		c.tasks[kind].Add(1)
	}
}

var (
	descRecords     = desc("records", "Records held as a replica, by type.", "type")
	descSettled     = desc("settled", "1 while every record held is known to be where it belongs, 0 while some are compared or moved.")
	descRecordBytes = desc("record_bytes", "Bytes of the records held as a replica.")
	descOwnRecords  = desc("own_records", "Records of this node's own, by type.", "type")
	descRefusals    = desc("record_refusals_total", "Records refused, by reason.", "reason")
	descLimits      = desc("record_limits_total", "Records dropped or refused because of a limit, by limit.", "limit")
	descRepair      = desc("repair_bytes_total", "Bytes of the comparison and movement of records, by direction.", "direction")
	descMoved       = desc("records_moved_total", "Records moved between replicas: given, fetched, or dropped after handing them on.", "how")
	descTasks       = desc("repair_tasks_total", "Comparisons and movements of records, by kind and result.", "kind", "result")
	descReads       = desc("reads_total", "Look-ups of records in the network, by who answered.", "by")
	descProvided    = desc("provided", "Contents in the set that StartProviding fills.")
	descProvideDue  = desc("provided_due", "Contents in that set that have not been announced yet.")
	descAnnounced   = desc("announced_total", "Records of contents provided by this node that were sent to their roots, by result; those of single Provide calls apart.", "result")
	descExpired     = desc("records_expired_total", "Records forgotten since they had expired.")
	descWrittenBack = desc("values_written_back_total", "Values written back to replicas that held a worse one.")
)

func (k *keeper) metrics() []prometheus.Metric {
	held, own := k.held.Stats(), k.own.Stats()
	ms := []prometheus.Metric{
		gauge(descRecordBytes, float64(held.Bytes)),
		gauge(descSettled, float64(boolToInt(k.upkeep.settled()))),
		counter(descRepair, k.counts.repairSent.Load(), "sent"),
		counter(descRepair, k.counts.repairReceived.Load(), "received"),
		counter(descMoved, k.counts.given.Load(), "given"),
		counter(descMoved, k.counts.fetched.Load(), "fetched"),
		counter(descMoved, k.counts.dropped.Load(), "dropped"),
		counter(descWrittenBack, k.counts.writtenBack.Load()),
	}
	for _, c := range []struct {
		kind      records.Type
		held, own int
	}{
		{records.TypeProvider, held.Providers, own.Providers}, {records.TypeValue, held.Values, own.Values}, {records.TypePeer, held.Peers, own.Peers},
	} {
		ms = append(ms, gauge(descRecords, float64(c.held), c.kind.String()), gauge(descOwnRecords, float64(c.own), c.kind.String()))
	}
	for kind := int(records.TaskSync); kind < numTasks; kind++ {
		ms = append(ms, counter(descTasks, k.counts.tasks[kind].Load(), records.TaskKind(kind).String(), "done"),
			counter(descTasks, k.counts.failed[kind].Load(), records.TaskKind(kind).String(), "failed"))
	}
	for by := range numReads {
		ms = append(ms, counter(descReads, k.counts.reads[by].Load(), readNames[by]))
	}
	p := k.n.ProvideStats()
	ms = append(ms, gauge(descProvided, float64(p.Keys)), gauge(descProvideDue, float64(p.Due)),
		counter(descAnnounced, p.Announced, "stored"), counter(descAnnounced, p.Failed, "failed"))
	return append(ms, k.refusals(held)...)
}

// refusals counts what was refused when it was opened, and when it was stored.
func (k *keeper) refusals(held records.Stats) []prometheus.Metric {
	opened := func(o pb.RecordOutcome) uint64 { return k.counts.refusals[o].Load() }
	r, l := held.Refused, held.Limited
	return []prometheus.Metric{
		counter(descRefusals, opened(pb.RecordOutcome_RECORD_OUTCOME_FORGED), "forged"),
		counter(descRefusals, opened(pb.RecordOutcome_RECORD_OUTCOME_EXPIRED)+r.Expired, "expired"),
		counter(descRefusals, opened(pb.RecordOutcome_RECORD_OUTCOME_STALE)+r.Stale, "stale"),
		counter(descRefusals, opened(pb.RecordOutcome_RECORD_OUTCOME_INVALID)+r.Invalid, "invalid"),
		counter(descRefusals, opened(pb.RecordOutcome_RECORD_OUTCOME_TOO_LARGE)+r.TooLarge, "too_large"),
		counter(descRefusals, opened(pb.RecordOutcome_RECORD_OUTCOME_UNADDRESSED)+r.Unaddressed, "unaddressed"),
		counter(descRefusals, r.Full, "full"),
		counter(descRefusals, held.Unreadable, "unreadable"),
		counter(descLimits, l.Records, "records"), counter(descLimits, l.Bytes, "bytes"),
		counter(descLimits, l.PerKey, "providers_of_a_key"), counter(descLimits, l.PerPeer, "records_of_a_peer"),
		counter(descLimits, l.Record+opened(pb.RecordOutcome_RECORD_OUTCOME_TOO_LARGE), "record_bytes"), counter(descLimits, l.Addrs, "addresses"),
		counter(descExpired, held.Expired),
	}
}
