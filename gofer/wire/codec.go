package wire

import (
	"encoding/binary"
	"errors"
)

// ErrShort says that a message ended before its fields did.
var ErrShort = errors.New("9P message shorter than its fields")

var le = binary.LittleEndian

// Encoder appends fields to B. The zero value is ready; Reset starts a message.
type Encoder struct{ B []byte }

// Reset empties e and leaves room for the header, which Finish fills in.
func (e *Encoder) Reset() { e.B = append(e.B[:0], 0, 0, 0, 0, 0, 0, 0) }

// Finish writes the header of the message begun at byte start of B.
func (e *Encoder) Finish(start int, typ uint8, tag uint16) {
	h := e.B[start : start+HeaderSize]
	le.PutUint32(h, uint32(len(e.B)-start))
	h[4] = typ
	le.PutUint16(h[5:], tag)
}

// Header reads the three fields of a header; h has at least HeaderSize bytes.
func Header(h []byte) (size uint32, typ uint8, tag uint16) {
	return le.Uint32(h), h[4], le.Uint16(h[5:])
}

// U8 appends one byte.
func (e *Encoder) U8(v uint8) { e.B = append(e.B, v) }

// Bool appends one byte: 1 for true, else 0.
func (e *Encoder) Bool(v bool) {
	if v {
		e.U8(1)
	} else {
		e.U8(0)
	}
}

// U16 appends two bytes.
func (e *Encoder) U16(v uint16) { e.B = le.AppendUint16(e.B, v) }

// U32 appends four bytes.
func (e *Encoder) U32(v uint32) { e.B = le.AppendUint32(e.B, v) }

// U64 appends eight bytes.
func (e *Encoder) U64(v uint64) { e.B = le.AppendUint64(e.B, v) }

// Str appends a string with a two-byte length; longer strings are the caller's mistake and are cut.
func (e *Encoder) Str(s string) {
	if len(s) > 0xffff {
		s = s[:0xffff]
	}
	e.U16(uint16(len(s)))
	e.B = append(e.B, s...)
}

// Name appends a string of at most 64 KB that is bytes.
func (e *Encoder) Name(b []byte) {
	e.U16(uint16(len(b)))
	e.B = append(e.B, b...)
}

// Bytes appends bytes with a four-byte length.
func (e *Encoder) Bytes(b []byte) {
	e.U32(uint32(len(b)))
	e.B = append(e.B, b...)
}

// QID appends a QID.
func (e *Encoder) QID(q QID) {
	e.U8(q.Type)
	e.U32(q.Version)
	e.U64(q.Path)
}

func (e *Encoder) time(t Time) {
	e.U64(uint64(t.Sec))
	e.U32(t.Nsec)
}

// Attr appends the attributes.
func (e *Encoder) Attr(a *Attr) {
	e.U32(a.Mode)
	e.U32(a.UID)
	e.U32(a.GID)
	e.U32(a.Nlink)
	e.U32(a.BlockSize)
	e.U64(a.Ino)
	e.U64(a.Dev)
	e.U64(a.Rdev)
	e.U64(a.Size)
	e.U64(a.Blocks)
	e.time(a.ATime)
	e.time(a.MTime)
	e.time(a.CTime)
	e.time(a.BTime)
}

// AttrSize is the number of bytes Attr appends.
const AttrSize = 5*4 + 5*8 + 4*12

// Decoder takes fields from the front of a message's body. After a field that was not there every field is zero and
// Err tells.
type Decoder struct {
	b     []byte
	short bool
}

// NewDecoder reads from b, which must stay untouched while it is used.
func NewDecoder(b []byte) Decoder { return Decoder{b: b} }

// Err is ErrShort if a field was missing.
func (d *Decoder) Err() error {
	if d.short {
		return ErrShort
	}
	return nil
}

// Len is the number of bytes not yet taken.
func (d *Decoder) Len() int { return len(d.b) }

func (d *Decoder) take(n int) []byte {
	if d.short || n < 0 || n > len(d.b) {
		d.short = true
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

// U8 takes one byte.
func (d *Decoder) U8() uint8 {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

// U16 takes two bytes.
func (d *Decoder) U16() uint16 {
	if b := d.take(2); b != nil {
		return le.Uint16(b)
	}
	return 0
}

// U32 takes four bytes.
func (d *Decoder) U32() uint32 {
	if b := d.take(4); b != nil {
		return le.Uint32(b)
	}
	return 0
}

// U64 takes eight bytes.
func (d *Decoder) U64() uint64 {
	if b := d.take(8); b != nil {
		return le.Uint64(b)
	}
	return 0
}

// Str takes a string with a two-byte length.
func (d *Decoder) Str() string { return string(d.take(int(d.U16()))) }

// Name takes a string's bytes; they alias the message.
func (d *Decoder) Name() []byte { return d.take(int(d.U16())) }

// Bytes takes bytes with a four-byte length; they alias the message.
func (d *Decoder) Bytes() []byte {
	n := d.U32()
	if n > MessageSize {
		d.short = true
		return nil
	}
	return d.take(int(n))
}

// QID takes a QID.
func (d *Decoder) QID() QID { return QID{Type: d.U8(), Version: d.U32(), Path: d.U64()} }

func (d *Decoder) time() Time { return Time{Sec: int64(d.U64()), Nsec: d.U32()} }

// Attr takes attributes.
func (d *Decoder) Attr(a *Attr) {
	*a = Attr{
		Mode: d.U32(), UID: d.U32(), GID: d.U32(), Nlink: d.U32(), BlockSize: d.U32(),
		Ino: d.U64(), Dev: d.U64(), Rdev: d.U64(), Size: d.U64(), Blocks: d.U64(),
		ATime: d.time(), MTime: d.time(), CTime: d.time(), BTime: d.time(),
	}
}
