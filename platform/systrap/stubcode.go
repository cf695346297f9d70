package systrap

import "unsafe"

// symbols are where the parts of the stub's code lie in our own text, or after
// relocate in a stub.
type symbols struct {
	begin, end        uintptr
	mapper, enter     uintptr
	signal, sigreturn uintptr
	resume, resumeEnd uintptr
	store, stored     uintptr
	names, named      uintptr
	asleep            uintptr // behind the call by which a thread sleeps
}

// stubSymbols returns the symbols in our own text.
func stubSymbols() (s symbols)

// tsc returns the processor's time stamp counter.
func tsc() uint64

// core returns the number of the processor we run on, which may have changed
// meanwhile.
func core() uint32

// spin looks n times, which is at least one, whether the Sentry has the context.
//
//go:noescape
func spin(state *uint32, n uint32) bool

// stub is where the parts of the code are in every stub.
var stub = stubSymbols().relocate()

// relocate returns the symbols as they are behind codeAddr.
func (s symbols) relocate() symbols {
	base := s.begin
	s.asleep += 7 // MOVL $SYS_getpid, AX; SYSCALL
	for _, p := range []*uintptr{&s.begin, &s.end, &s.mapper, &s.enter, &s.signal, &s.sigreturn, &s.resume, &s.resumeEnd, &s.store, &s.stored, &s.names, &s.named, &s.asleep} {
		*p += codeAddr - base
	}
	return s
}

// stubText returns the contents of the file mapped at codeAddr.
func stubText() []byte {
	s := stubSymbols()
	if s.end-s.begin > codeSize {
		panic("systrap: the stub's code has outgrown its pages")
	}
	text := make([]byte, textSize)
	n := copy(text, unsafe.Slice((*byte)(pointer(s.begin)), s.end-s.begin))
	for i := n; i < codeSize; i++ {
		text[i] = 0xcc // int3
	}
	copy(text[codeSize:], threadFilter().encode(filterAddr))
	return text
}

// pointer makes an address that the garbage collector does not manage a
// pointer.
func pointer(addr uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&addr)) }
