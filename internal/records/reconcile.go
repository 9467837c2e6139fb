package records

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

const (
	// MaxArcs is the most arcs in one call to compare.
	MaxArcs = 64

	// ItemSize is the length of an encoded Item.
	ItemSize = IDSize + 8

	splitParts = 16   // arcs into which one that differs is divided
	listItems  = 64   // records that are listed rather than divided
	listAll    = 1024 // the same, where the other holds nothing

	verdictSize = 12                   // bytes around a verdict, at most
	partSize    = 3*(2+ring.Size) + 16 // bytes of a part, at most
)

// ErrCompare is wrapped by the error for a call to compare, or an answer to one,
// that is malformed.
var ErrCompare = errors.New("records: malformed comparison")

// Compare answers a call to compare: what is held in x of each arc, against the
// caller's summary. The verdicts take at most so many bytes on the wire, which
// should be 4 KiB or more. If there is not enough room for all, those of the last arcs are left out, but
// never the first, of which a list that is too long for the room is cut short:
// that happens only to the records of a single key. The error wraps ErrCompare.
func Compare(x *Index, arcs []*pb.Arc, room int) ([]*pb.Verdict, error) {
	if len(arcs) > MaxArcs {
		return nil, fmt.Errorf("%w: %d arcs, at most %d", ErrCompare, len(arcs), MaxArcs)
	}
	verdicts := make([]*pb.Verdict, 0, len(arcs))
	for _, m := range arcs {
		a, theirs, err := decodeArc(m)
		if err != nil {
			return nil, err
		}
		room -= verdictSize
		v := x.verdict(a, theirs, room)
		room -= len(v.Items) + len(v.Parts)*partSize
		if room < 0 && len(verdicts) > 0 {
			break
		}
		if most := (room + len(v.Items)) / ItemSize * ItemSize; room < 0 && len(v.Items) > most {
			v.Items = v.Items[:max(ItemSize, most)]
		}
		verdicts = append(verdicts, v)
	}
	return verdicts, nil
}

// verdict compares an arc with the other's summary. What is left of the room
// says how much is listed for one that holds nothing.
func (x *Index) verdict(a Arc, theirs Summary, room int) *pb.Verdict {
	own := x.Summary(a)
	if own == theirs {
		return &pb.Verdict{}
	}
	most := listItems
	if theirs.Count == 0 {
		most = max(listItems, min(listAll, room/ItemSize))
	}
	if own.Count > most && a.First != a.Last {
		v := &pb.Verdict{}
		for _, part := range x.Split(a, splitParts) {
			v.Parts = append(v.Parts, encodeArc(part, x.Summary(part)))
		}
		return v
	}
	v := &pb.Verdict{Listed: true, Items: make([]byte, 0, own.Count*ItemSize)}
	x.Ascend(a, func(e Entry) bool {
		v.Items = e.Item().append(v.Items)
		return true
	})
	return v
}

// append appends the ItemSize bytes of i.
func (i Item) append(b []byte) []byte {
	b, _ = i.ID.AppendBinary(b)
	return binary.BigEndian.AppendUint64(b, i.Version)
}

// decodeItems reads the items of an arc, which must be in ascending order from
// its first key on. The error wraps ErrCompare.
func decodeItems(a Arc, b []byte) ([]Item, error) {
	if len(b)%ItemSize != 0 {
		return nil, fmt.Errorf("%w: %d bytes of items", ErrCompare, len(b))
	}
	items := make([]Item, 0, len(b)/ItemSize)
	for ; len(b) > 0; b = b[ItemSize:] {
		id, err := IDFromBytes(b[:IDSize])
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCompare, err)
		}
		if !a.Contains(id.Key) {
			return nil, fmt.Errorf("%w: an item outside its arc", ErrCompare)
		}
		if n := len(items); n > 0 && a.compare(items[n-1].ID, id) >= 0 {
			return nil, fmt.Errorf("%w: items out of order", ErrCompare)
		}
		items = append(items, Item{ID: id, Version: binary.BigEndian.Uint64(b[IDSize:ItemSize])})
	}
	return items, nil
}

// encodeArc returns an arc as it is sent.
func encodeArc(a Arc, s Summary) *pb.Arc {
	first, last, sum := a.First.Bytes(), a.Last.Bytes(), s.Sum.Bytes()
	return &pb.Arc{First: first[:], Last: last[:], Sum: sum[:], Count: uint64(s.Count)}
}

// decodeArc reads an arc and its summary. The error wraps ErrCompare.
func decodeArc(m *pb.Arc) (a Arc, s Summary, err error) {
	var errs [3]error
	a.First, errs[0] = ring.FromBytes(m.GetFirst())
	a.Last, errs[1] = ring.FromBytes(m.GetLast())
	s.Sum, errs[2] = ring.FromBytes(m.GetSum())
	if err := errors.Join(errs[:]...); err != nil {
		return a, s, fmt.Errorf("%w: %w", ErrCompare, err)
	}
	if m.GetCount() > maxCount {
		return a, s, fmt.Errorf("%w: %d records", ErrCompare, m.GetCount())
	}
	s.Count = int(m.GetCount())
	return a, s, nil
}
