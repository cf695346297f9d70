package vdso

import (
	"bytes"
	"encoding/binary"
)

// unwindSize is the size of what unwindTables returns.
const unwindSize = 20 + 24 + 24 + 4

// Opcodes and encodings of DWARF call frame information (DWARF 5, 6.4.2 and
// 7.24; Linux Standard Base Core, "Exception Frames").
const (
	pcrel4     = 0x1b // DW_EH_PE_pcrel | DW_EH_PE_sdata4
	udata4     = 0x03 // DW_EH_PE_udata4
	datarel4   = 0x3b // DW_EH_PE_datarel | DW_EH_PE_sdata4
	defCFA     = 0x0c // DW_CFA_def_cfa
	offsetReg  = 0x80 // DW_CFA_offset, the register in the low bits
	regRSP     = 7
	regReturn  = 16
	ehVersion1 = 1
)

// unwindTables returns .eh_frame_hdr and .eh_frame for an image that has them at
// address at and its code at text: one entry, for every function is a leaf
// whose return address is on top of the stack.
func unwindTables(at, text, size uint64) []byte {
	at = (at + 7) &^ 7
	const hdr, cie = 20, 24
	cieAt := at + hdr
	fdeAt := cieAt + cie
	var b bytes.Buffer
	put := func(v ...any) {
		for _, x := range v {
			_ = binary.Write(&b, binary.LittleEndian, x)
		}
	}
	rel := func(to, from uint64) int32 { return int32(int64(to) - int64(from)) }
	// The header: where .eh_frame is, and a search table of one.
	put([]byte{ehVersion1, pcrel4, udata4, datarel4}, rel(cieAt, at+4), uint32(1), rel(text, at), rel(fdeAt, at))
	// The CIE: code is aligned to 1, data to -8; augmentation "zR".
	put(uint32(cie-4), uint32(0), []byte{ehVersion1, 'z', 'R', 0, 1, 0x78, regReturn, 1, pcrel4},
		[]byte{defCFA, regRSP, 8, offsetReg | regReturn, 1, 0, 0})
	// The FDE of all the code, and the end.
	put(uint32(20), rel(fdeAt+4, cieAt), rel(text, fdeAt+8), uint32(size), make([]byte, 8), uint32(0))
	return b.Bytes()
}
