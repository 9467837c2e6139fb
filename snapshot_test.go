package pastry

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// snapshotFields are the fields that Snapshot knows, by type, those it leaves out
// after a dash. A field that is new must be added to Snapshot, or left out for a
// reason: states that differ in it count as one otherwise.
var snapshotFields = []struct {
	of     any
	fields string
}{
	{RawNode{}, "self state over now leaves table hood peers sweepAt known apps timers due calls pending forwarding signing " +
		"relays deliveries answers held reqRTT join grants dead lost lostNext candidate asking leafProbes rows tuning " +
		"leafDied differs shown exchanges unshown lookedUp wary strained strainedAt lossy handing closing farewell kept owed holders ward seq - cfg rng out stats"},
	{peerState{}, "c state live connected handed cutOff known heard sent told rtt version compared period probe epoch"},
	{probe{}, "seq why want row begun sent due tries limit hurry told spare excused dialed"},
	{sending{}, "seq at"},
	{rtt{}, "smoothed variance least"},
	{transit{}, "in pkt to fixed chosen tried tries firstAt sentAt due excused dialed expires done"},
	{call{}, "msg deadline started attempt wait transit first done"},
	{relay{}, "prev attempt transit"},
	{delivery{}, "key by origin originID hops path answer prev"},
	{keptAnswer{}, "size expires - d"},
	{held{}, "from pkt"},
	{grant{}, "to until ref"},
	{grave{}, "at epoch doubted"},
	{lease{}, "from at"},
	{joining{}, "phase started first found seeds round width seeking best improved alone sure pool asked prospect leases asking giver seq sentAt " +
		"tries gen again - places"},
	{rowRepair{}, "repaired filled exchanges wait"},
	{tuning{}, "period own since failures silent next oldest tuned"},
	{LeafSet{}, "smaller larger version - self half all down up"},
	{Table{}, "rows - self b size primaries"},
	{Neighborhood{}, "members - size low"},
	{member{}, "c at"},
	{timer{}, "at kind id ref msg seq"},
	{Contact{}, "ID Epoch Client Region Coord - Peer Record"},
	{Packet{}, "Kind State Seq Code Coord Msg Answer Attempt Hops TTL Chosen Path Want Row Version Period Larger Contacts Suspects " +
		"Delivered Acks Holding Holders Held Digest"},
	{holders{}, "all changed said saidAt - digest"},
	{holder{}, "id at"},
	{differ{}, "with theirs mine at"},
	{shown{}, "to at"},
	{said{}, "to held digest"},
	{ward{}, "id epoch ids - digest"},
	{Routed{}, "ID App Key OriginID Join Direct Replicas Coord Payload Auth - Origin"},
	{Answer{}, "ID OriginID Root Code Hops Path Payload Auth Contacts - Origin"},
	{Delivery{}, "ID Key By"},
}

func TestSnapshotKnowsEveryField(t *testing.T) {
	for _, tt := range snapshotFields {
		typ := reflect.TypeOf(tt.of)
		known := strings.Fields(tt.fields)
		for i := range typ.NumField() {
			if name := typ.Field(i).Name; !slices.Contains(known, name) {
				t.Errorf("%v.%s is neither in Snapshot nor left out", typ, name)
			}
		}
		for _, name := range known {
			if _, ok := typ.FieldByName(name); !ok && name != "-" {
				t.Errorf("%v has no field %s", typ, name)
			}
		}
	}
}

// TestSnapshotDoesNotSeeNumbers runs the same small ring twice, the second time
// later and with other sequence numbers: the snapshots are equal.
func TestSnapshotDoesNotSeeNumbers(t *testing.T) {
	run := func(start Time, drawn int) []Snapshot {
		a, b := snapshotNode(t, 100, drawn), snapshotNode(t, 600, drawn)
		a.Step(start, Input{Kind: InJoin}, nil)
		out := b.Step(start, Input{Kind: InJoin, Contacts: []*Contact{a.self}}, nil)
		var all []Snapshot
		for from, to := b, a; len(out) > 0; from, to = to, from {
			var next []Action
			for _, act := range out {
				if act.Kind == ActSend {
					var s Snapshot
					act.Packet.Snapshot(from.self.ID, to.self.ID, time.Microsecond, &s)
					all = append(all, s)
					next = to.Step(start, Input{Kind: InPacket, From: from.self, Packet: act.Packet}, next)
				}
			}
			out = next
			for _, n := range []*RawNode{a, b} {
				var s Snapshot
				n.Snapshot(time.Microsecond, &s)
				all = append(all, s)
			}
		}
		if a.State() != StateActive || b.State() != StateActive {
			t.Fatalf("the nodes are %v and %v", a.State(), b.State())
		}
		return all
	}
	first, second := run(Time(time.Second), 0), run(Time(time.Hour), 1000)
	if len(first) != len(second) {
		t.Fatalf("%d snapshots, then %d", len(first), len(second))
	}
	for i := range first {
		if !bytes.Equal(first[i].Bytes, second[i].Bytes) || len(first[i].Refs) != len(second[i].Refs) {
			t.Errorf("snapshot %d of %d differs", i, len(first))
		}
	}
	if bytes.Equal(first[1].Bytes, first[len(first)-1].Bytes) {
		t.Error("the snapshots of a joining and of an active node are equal")
	}
}

// TestSnapshotTellsLossApart has nodes that saw different losses notice one more. Those
// whose snapshots were equal before must have equal ones after it.
func TestSnapshotTellsLossApart(t *testing.T) {
	after := make(map[string]string)
	for missed := range 12 {
		n := snapshotNode(t, 500, 0)
		for range missed {
			n.answered(false)
		}
		var before, then Snapshot
		n.Snapshot(10*time.Microsecond, &before)
		n.answered(false)
		n.Snapshot(10*time.Microsecond, &then)
		if was, met := after[string(before.Bytes)]; met && was != string(then.Bytes) {
			t.Errorf("the snapshot after %d lost answers was met before, and that after the next one differs", missed)
		}
		after[string(before.Bytes)] = string(then.Bytes)
	}
}

// snapshotNode returns an idle node that has used some sequence numbers.
func snapshotNode(t *testing.T, at, drawn int) *RawNode {
	t.Helper()
	n, err := NewRawNode(Config{Self: contactAt(point(at)), Rand: rand.New(rand.NewPCG(7, 7))})
	if err != nil {
		t.Fatal(err)
	}
	for range drawn {
		n.nextSeq()
	}
	return n
}
