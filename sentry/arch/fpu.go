package arch

import "encoding/binary"

// FPState is the extended state of a thread in the standard (non-compacted)
// XSAVE layout (Intel SDM vol. 1, 13.4). Platforms keep the live state in the
// host thread; Data is brought up to date only when Context.SaveFP is called
// (signal frames, fork), and loaded by the next Switch when Dirty.
type FPState struct {
	Data  []byte
	Dirty bool
}

// Offsets in the XSAVE area.
const (
	fxsaveSize   = 512
	xsaveHeader  = 64
	mxcsrOffset  = 24
	xfeatOffset  = 512
	mxcsrDefault = 0x1f80
	fcwDefault   = 0x37f
)

// Reset makes f the state of a fresh program: default x87 and SSE control
// words, everything else in its initial state.
func (f *FPState) Reset() {
	if len(f.Data) < fxsaveSize+xsaveHeader {
		f.Data = make([]byte, fxsaveSize+xsaveHeader)
	}
	clear(f.Data)
	f.Data[0], f.Data[1] = fcwDefault&0xff, fcwDefault>>8
	f.Data[mxcsrOffset], f.Data[mxcsrOffset+1] = mxcsrDefault&0xff, mxcsrDefault>>8
	f.Data[xfeatOffset] = 3 // x87 and SSE present
	f.Dirty = true
}

// Copy returns an independent copy that the next Switch will load.
func (f *FPState) Copy() FPState {
	return FPState{Data: append([]byte(nil), f.Data...), Dirty: true}
}

// XFeatures returns the components (XCR0) that an XSAVE area read by ptrace(2)
// names in the bytes that are for software (NT_X86_XSTATE).
func XFeatures(b []byte) uint64 {
	if len(b) < swReserved+8 {
		return 3
	}
	return binary.LittleEndian.Uint64(b[swReserved:])
}

// SetXFeatures writes what XFeatures reads.
func SetXFeatures(b []byte, features uint64) {
	if len(b) >= swReserved+8 {
		binary.LittleEndian.PutUint64(b[swReserved:], features)
	}
}
