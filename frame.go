package pastry

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/secondbit/pastry/pb"
)

// ErrFrameTooLarge is wrapped by the error for a frame beyond the limit, in
// either direction.
var ErrFrameTooLarge = errors.New("pastry: frame too large")

const (
	// defaultFrameLimit is the longest frame in bytes, its length prefix not
	// counted.
	defaultFrameLimit = 1 << 20

	// keepBuffer is the largest buffer in bytes that an idle link keeps.
	keepBuffer = 64 << 10

	// screenAbove is the length in bytes above which a frame is screened.
	screenAbove = 16 << 10

	// maxLengthShift is the place of the last 7 bits of the longest length.
	maxLengthShift = 56

	// readStep is how many bytes of a long frame are allocated at first.
	readStep = 16 << 10
)

// A frameReader reads frames. It is not safe for concurrent use.
type frameReader struct {
	r     *bufio.Reader
	limit int
	buf   []byte // for frames that do not fit the buffer of r
}

// newFrameReader returns a reader of frames of up to limit bytes, or of
// defaultFrameLimit if limit is 0. It may read ahead.
func newFrameReader(r io.Reader, limit int) *frameReader {
	return &frameReader{r: bufio.NewReader(r), limit: orFrameLimit(limit)}
}

func orFrameLimit(limit int) int {
	if limit <= 0 {
		return defaultFrameLimit
	}
	return limit
}

// read replaces f by the next frame, which shares no memory with the reader.
// It blocks until a whole frame has come. The error is io.EOF when the stream
// ends between two frames and io.ErrUnexpectedEOF when it ends within one. It
// wraps [ErrFrameTooLarge] before any of the frame is read or memory taken
// for it, and [ErrMalformed] when the bytes are no frame. After an error the
// reader is of no more use.
func (fr *frameReader) read(f *pb.Frame) error {
	n, err := fr.length()
	if err != nil {
		return err
	}
	if n > fr.r.Size() {
		return fr.readLong(n, f)
	}
	b, err := fr.r.Peek(n)
	if err != nil {
		return unexpectedEOF(err)
	}
	if err := unmarshalFrame(b, f); err != nil {
		return err
	}
	_, err = fr.r.Discard(n)
	return err
}

// length reads the varint before a frame.
func (fr *frameReader) length() (int, error) {
	var n uint64
	for shift := 0; ; shift += 7 {
		b, err := fr.r.ReadByte()
		switch {
		case err != nil && shift > 0:
			return 0, unexpectedEOF(err)
		case err != nil:
			return 0, err
		case b == 0 && shift > 0:
			return 0, fmt.Errorf("%w: length is not in its shortest form", ErrMalformed)
		}
		n |= uint64(b&0x7f) << shift
		switch {
		case n > uint64(fr.limit):
			return 0, fmt.Errorf("%w: over %d bytes announced", ErrFrameTooLarge, fr.limit)
		case b < 0x80:
			return int(n), nil
		case shift == maxLengthShift:
			return 0, fmt.Errorf("%w: length does not end", ErrMalformed)
		}
	}
}

// readLong reads a frame into a buffer that grows with what has arrived: a peer
// that announces much and sends little costs little.
func (fr *frameReader) readLong(n int, f *pb.Frame) error {
	b := fr.buf[:0]
	for len(b) < n {
		step := min(n-len(b), max(readStep, len(b), cap(b)-len(b)))
		b = slices.Grow(b, step)
		end := len(b) + step
		if _, err := io.ReadFull(fr.r, b[len(b):end]); err != nil {
			return unexpectedEOF(err)
		}
		b = b[:end]
	}
	fr.buf = kept(b)
	return unmarshalFrame(b, f)
}

func unexpectedEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// kept returns b for use by the next frame unless it is too large to be kept.
func kept(b []byte) []byte {
	if cap(b) > keepBuffer {
		return nil
	}
	return b[:0]
}

func unmarshalFrame(b []byte, f *pb.Frame) error {
	if len(b) > screenAbove {
		if err := screen(b); err != nil {
			return err
		}
	}
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(b, f); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if f.Body == nil {
		return fmt.Errorf("%w: frame without a body", ErrMalformed)
	}
	return nil
}

// minElement is less than any valid element of a list takes up in a frame, in
// bytes. The shortest is a ring ID with its tag and length.
const minElement = 16

// screen bounds the memory that unmarshalling b takes. An empty element of a
// list takes 2 bytes in a frame and over 100 in memory, so a frame that holds
// more elements than valid ones would fit is refused.
func screen(b []byte) error {
	left := len(b) / minElement
	return screenMessage(b, (*pb.Frame)(nil).ProtoReflect().Descriptor(), &left)
}

// screenMessage takes the number of list elements in a message, and in the
// messages inside it, off left.
func screenMessage(b []byte, desc protoreflect.MessageDescriptor, left *int) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("%w: %w", ErrMalformed, protowire.ParseError(n))
		}
		b = b[n:]
		n = protowire.ConsumeFieldValue(num, typ, b)
		if n < 0 {
			return fmt.Errorf("%w: %w", ErrMalformed, protowire.ParseError(n))
		}
		value := b[:n]
		b = b[n:]
		field := desc.Fields().ByNumber(num)
		if field == nil || typ != protowire.BytesType || field.Kind() == protoreflect.FloatKind {
			continue
		}
		if field.IsList() {
			*left--
		}
		if *left < 0 {
			return fmt.Errorf("%w: more list elements than fit", ErrMalformed)
		}
		if field.Message() == nil {
			continue
		}
		inner, _ := protowire.ConsumeBytes(value)
		if err := screenMessage(inner, field.Message(), left); err != nil {
			return err
		}
	}
	return nil
}

// A frameWriter writes frames into a buffer. It is not safe for concurrent use.
type frameWriter struct {
	w     *bufio.Writer
	limit int
	buf   []byte
}

// newFrameWriter returns a writer of frames of up to limit bytes, or of
// defaultFrameLimit if limit is 0.
func newFrameWriter(w io.Writer, limit int) *frameWriter {
	return &frameWriter{w: bufio.NewWriter(w), limit: orFrameLimit(limit)}
}

// write appends f to what flush will send, and sends earlier frames when the
// buffer is full. When the error wraps [ErrFrameTooLarge] or [ErrMalformed],
// nothing of f was written and the writer can go on; after any other it is of
// no more use.
func (fw *frameWriter) write(f *pb.Frame) error {
	b, err := fw.marshal(f)
	if err != nil {
		return err
	}
	_, err = fw.w.Write(b)
	return err
}

// marshal returns the bytes of f after their length. They are valid until the
// next call.
func (fw *frameWriter) marshal(f *pb.Frame) ([]byte, error) {
	options := proto.MarshalOptions{}
	size := options.Size(f)
	if size > fw.limit {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrFrameTooLarge, size, fw.limit)
	}
	options.UseCachedSize = true
	b := binary.AppendUvarint(fw.buf[:0], uint64(size))
	b, err := options.MarshalAppend(b, f)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	fw.buf = kept(b)
	return b, nil
}

// flush sends what was written. It blocks as the underlying writer does.
func (fw *frameWriter) flush() error { return fw.w.Flush() }
