package pastry

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"testing"
	"testing/iotest"

	"google.golang.org/protobuf/proto"

	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// endless is a reader that repeats one frame.
type endless struct {
	frame []byte
	rest  []byte
}

func (e *endless) Read(b []byte) (int, error) {
	if len(e.rest) == 0 {
		e.rest = e.frame
	}
	n := copy(b, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

func packetFrame(m *pb.Packet) *pb.Frame { return &pb.Frame{Body: &pb.Frame_Packet{Packet: m}} }

// payloadFrame returns a frame with a payload of n bytes.
func payloadFrame(n int) *pb.Frame {
	return packetFrame(&pb.Packet{Kind: pb.Kind_KIND_ROUTE, Msg: &pb.Routed{Payload: bytes.Repeat([]byte{7}, n)}})
}

func frameBytes(t testing.TB, m *pb.Packet) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := newFrameWriter(&buf, 0)
	if err := errors.Join(w.write(packetFrame(m)), w.flush()); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// withLength puts the length before b that a stream has there.
func withLength(b []byte) []byte {
	return append(binary.AppendUvarint(nil, uint64(len(b))), b...)
}

func TestFramesRoundTrip(t *testing.T) {
	frames := []*pb.Frame{
		{Body: &pb.Frame_Hello{Hello: &pb.Hello{Version: 1, Contact: &pb.Contact{Peer: []byte("p")}, DigitBits: 4}}},
		{Body: &pb.Frame_Proof{Proof: &pb.Proof{}}},
		payloadFrame(0),
		payloadFrame(4096 - 20), // just about the buffer's size
		payloadFrame(4096),
		payloadFrame(100_000),
		payloadFrame(500_000),
		payloadFrame(1),
	}
	var buf bytes.Buffer
	w := newFrameWriter(&buf, 0)
	for _, f := range frames {
		if err := w.write(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.flush(); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]io.Reader{
		"at once":       bytes.NewReader(buf.Bytes()),
		"byte by byte":  iotest.OneByteReader(bytes.NewReader(buf.Bytes())),
		"end with data": iotest.DataErrReader(bytes.NewReader(buf.Bytes())),
	} {
		t.Run(name, func(t *testing.T) {
			fr := newFrameReader(r, 0)
			var f pb.Frame
			for i, want := range frames {
				if err := fr.read(&f); err != nil {
					t.Fatalf("frame %d: %v", i, err)
				}
				if !proto.Equal(&f, want) {
					t.Fatalf("frame %d of %d bytes has changed on its way", i, proto.Size(want))
				}
			}
			if err := fr.read(&f); err != io.EOF {
				t.Errorf("after the last frame: %v, want io.EOF", err)
			}
		})
	}
}

func TestBadFrames(t *testing.T) {
	whole := frameBytes(t, encodePacket(wireRoute(t, 256)))
	long := frameBytes(t, encodePacket(wireRoute(t, 50_000)))
	for _, tc := range []struct {
		name string
		in   []byte
		want error
	}{
		{"nothing", nil, io.EOF},
		{"end within the length", whole[:1], io.ErrUnexpectedEOF},
		{"end after the length", whole[:2], io.ErrUnexpectedEOF},
		{"end within a frame", whole[:len(whole)-1], io.ErrUnexpectedEOF},
		{"end within a long frame", long[:len(long)-1], io.ErrUnexpectedEOF},
		{"empty", []byte{0}, ErrMalformed},
		{"length in two bytes that needs one", append([]byte{0x81, 0}, 0), ErrMalformed},
		{"length without end", bytes.Repeat([]byte{0x80}, 20), ErrMalformed},
		{"length beyond 64 bits", bytes.Repeat([]byte{0xff}, 20), ErrFrameTooLarge},
		{"just over the limit", binary.AppendUvarint(nil, 1<<20+1), ErrFrameTooLarge},
		{"no protobuf", []byte{2, 0xff, 0xff}, ErrMalformed},
		{"unknown body", withLength([]byte{0x7a, 0}), ErrMalformed},
		{"application name is not UTF-8", withLength([]byte("\x1a\x05\x32\x03\x12\x01\xff")), ErrMalformed},
		{"more contacts than fit", frameBytes(t, &pb.Packet{Contacts: many(&pb.Contact{}, 100_000)}), ErrMalformed},
		{"more names than fit in an answer", frameBytes(t, &pb.Packet{Answer: &pb.Answer{Path: make([][]byte, 100_000)}}), ErrMalformed},
		{"long and no protobuf", withLength(bytes.Repeat([]byte{0xff}, 20_000)), ErrMalformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var f pb.Frame
			if err := newFrameReader(bytes.NewReader(tc.in), 0).read(&f); !errors.Is(err, tc.want) {
				t.Errorf("read: %v, want %v", err, tc.want)
			}
		})
	}
}

func TestReadFailureIsReported(t *testing.T) {
	want := errors.New("reset")
	for _, n := range []int{0, 1, 10, 30_000} {
		in := io.MultiReader(bytes.NewReader(frameBytes(t, encodePacket(wireRoute(t, 50_000)))[:n]), iotest.ErrReader(want))
		var f pb.Frame
		if err := newFrameReader(in, 0).read(&f); !errors.Is(err, want) {
			t.Errorf("after %d bytes: %v, want %v", n, err, want)
		}
	}
}

// TestLargestFrame has a frame of just the limit pass, and one byte more not.
func TestLargestFrame(t *testing.T) {
	const limit = 1000
	fits := payloadFrame(0)
	for proto.Size(fits) < limit {
		fits.GetPacket().Msg.Payload = append(fits.GetPacket().Msg.Payload, 1)
	}
	if got := proto.Size(fits); got != limit {
		t.Fatalf("frame is %d bytes, want %d", got, limit)
	}
	tooLong := proto.CloneOf(fits)
	tooLong.GetPacket().Msg.Payload = append(tooLong.GetPacket().Msg.Payload, 1)

	var buf bytes.Buffer
	w := newFrameWriter(&buf, limit)
	if err := w.write(tooLong); !errors.Is(err, ErrFrameTooLarge) {
		t.Errorf("write beyond the limit: %v, want ErrFrameTooLarge", err)
	}
	if err := errors.Join(w.write(fits), w.flush()); err != nil {
		t.Fatalf("write after a frame too large: %v", err)
	}
	var f pb.Frame
	r := newFrameReader(&buf, limit)
	if err := r.read(&f); err != nil {
		t.Fatalf("read at the limit: %v", err)
	}
	if err := r.read(&f); err != io.EOF {
		t.Errorf("after the frame: %v, want io.EOF", err)
	}
}

func TestWriterGoesOnAfterABadFrame(t *testing.T) {
	var buf bytes.Buffer
	w := newFrameWriter(&buf, 0)
	bad := packetFrame(&pb.Packet{Msg: &pb.Routed{App: "\xff"}})
	if err := w.write(bad); !errors.Is(err, ErrMalformed) {
		t.Errorf("write of a name that is not UTF-8: %v, want ErrMalformed", err)
	}
	if err := errors.Join(w.write(payloadFrame(3)), w.flush()); err != nil {
		t.Fatal(err)
	}
	var f pb.Frame
	if err := newFrameReader(&buf, 0).read(&f); err != nil {
		t.Error(err)
	}
}

func TestWriteFailureIsReported(t *testing.T) {
	want := errors.New("reset")
	w := newFrameWriter(failing{want}, 0)
	if err := w.write(payloadFrame(10_000)); !errors.Is(err, want) {
		t.Errorf("write: %v, want %v", err, want)
	}
	if err := w.flush(); !errors.Is(err, want) {
		t.Errorf("flush: %v, want %v", err, want)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// TestAnnouncedLengthCostsNothing has a peer announce the longest frame and
// then send little of it.
func TestAnnouncedLengthCostsNothing(t *testing.T) {
	in := append(binary.AppendUvarint(nil, 1<<20), make([]byte, 100)...)
	var before, after runtime.MemStats
	var f pb.Frame
	runtime.ReadMemStats(&before)
	const rounds = 100
	for range rounds {
		if err := newFrameReader(bytes.NewReader(in), 0).read(&f); err != io.ErrUnexpectedEOF {
			t.Fatalf("read: %v, want io.ErrUnexpectedEOF", err)
		}
	}
	runtime.ReadMemStats(&after)
	if got, want := (after.TotalAlloc-before.TotalAlloc)/rounds, uint64(64<<10); got > want {
		t.Errorf("a frame announced cost %d bytes, want at most %d", got, want)
	}
}

// TestIdleLinkKeepsLittle has a large frame pass and looks at what is left.
func TestIdleLinkKeepsLittle(t *testing.T) {
	var buf bytes.Buffer
	w := newFrameWriter(&buf, 0)
	if err := errors.Join(w.write(payloadFrame(900_000)), w.flush()); err != nil {
		t.Fatal(err)
	}
	r := newFrameReader(&buf, 0)
	var f pb.Frame
	if err := r.read(&f); err != nil {
		t.Fatal(err)
	}
	if got := max(cap(r.buf), cap(w.buf)); got > keepBuffer {
		t.Errorf("a buffer of %d bytes is kept, want at most %d", got, keepBuffer)
	}
}

// TestFullFrameIsNotScreenedOut has the smallest valid elements fill a frame.
func TestFullFrameIsNotScreenedOut(t *testing.T) {
	p := &Packet{Kind: KindLeave}
	for range 10_000 {
		p.Delivered = append(p.Delivered, Delivery{By: bookPeer(t, 1)})
	}
	suspects := &Packet{Kind: KindSuspect, Suspects: make([]ring.ID, maxSuspects)}
	for _, p := range []*Packet{p, suspects} {
		var f pb.Frame
		if err := newFrameReader(bytes.NewReader(frameBytes(t, encodePacket(p))), 0).read(&f); err != nil {
			t.Errorf("%v: %v", p.Kind, err)
		}
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add(frameBytes(f, encodePacket(wireRoute(f, 9))))
	f.Add(frameBytes(f, encodePacket(wireReply(f))))
	f.Add(frameBytes(f, encodePacket(wireRoute(f, 9)))[:20])
	f.Add(bytes.Repeat([]byte{0x80}, 12))
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 1 << 16
		r := newFrameReader(bytes.NewReader(b), limit)
		for {
			var frame pb.Frame
			err := r.read(&frame)
			switch {
			case err == io.EOF || err == io.ErrUnexpectedEOF:
				return
			case errors.Is(err, ErrMalformed), errors.Is(err, ErrFrameTooLarge):
				return
			case err != nil:
				t.Fatalf("error of no known kind: %v", err)
			}
			if n := proto.Size(&frame); n > limit {
				t.Fatalf("frame of %d bytes, limit is %d", n, limit)
			}
		}
	})
}
