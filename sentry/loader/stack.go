package loader

import (
	"crypto/rand"
	"encoding/binary"

	"golang.org/x/sys/unix"

	"ringfort/platform"
	"ringfort/sentry/kernel"
	"ringfort/sentry/mm"
	"ringfort/sentry/usermem"
)

// Keys of the auxiliary vector (getauxval(3)).
const (
	atPhdr      = 3
	atPhent     = 4
	atPhnum     = 5
	atPagesz    = 6
	atBase      = 7
	atFlags     = 8
	atEntry     = 9
	atUID       = 11
	atEUID      = 12
	atGID       = 13
	atEGID      = 14
	atPlatform  = 15
	atHWCap     = 16
	atClkTck    = 17
	atSecure    = 23
	atRandom    = 25
	atHWCap2    = 26
	atExecFn    = 31
	atSysinfo   = 33
	atMinSigStk = 51
)

// aux is one entry of the auxiliary vector.
type aux struct{ key, val uint64 }

// initialStack is how much of the stack is mapped at once; more comes as it grows.
const initialStack = 132 << 10

// stackBuilder writes the initial stack from the top down (System V ABI,
// x86-64 supplement, 3.4.1).
type stackBuilder struct {
	m  *mm.MemoryManager
	sp usermem.Addr
}

func (s *stackBuilder) push(b []byte) (usermem.Addr, error) {
	s.sp -= usermem.Addr(len(b))
	if _, err := s.m.CopyOut(s.sp, b); err != nil {
		return 0, unix.E2BIG
	}
	return s.sp, nil
}

// pushStrings writes strings with their NULs, the last one highest, and
// returns their addresses.
func (s *stackBuilder) pushStrings(list []string) ([]usermem.Addr, error) {
	total := 0
	for _, v := range list {
		total += len(v) + 1
	}
	b := make([]byte, 0, total)
	offs := make([]usermem.Addr, len(list))
	for i, v := range list {
		offs[i] = usermem.Addr(len(b))
		b = append(append(b, v...), 0)
	}
	at, err := s.push(b)
	for i := range offs {
		offs[i] += at
	}
	return offs, err
}

// buildStack maps the stack and fills it. auxv lacks the entries whose values
// lie on the stack itself.
func buildStack(t *kernel.Task, m *mm.MemoryManager, args *kernel.LoadArgs, execFn string, auxv []aux, execStack bool) (usermem.Addr, error) {
	prot := platform.Prot(platform.Read | platform.Write)
	if execStack {
		prot |= platform.Exec
	}
	size := usermem.Addr(initialStack + stringsSize(args))
	size, _ = size.RoundUp()
	top := m.Layout().StackEnd
	if uint64(size) > t.Limits().Get(unix.RLIMIT_STACK).Cur {
		return 0, unix.E2BIG
	}
	if _, err := m.MMap(mm.MapOpts{
		Addr: top - size, Length: uint64(size), Fixed: true, Prot: prot, MaxProt: anyProt, GrowsDown: true, Name: "[stack]",
	}); err != nil {
		return 0, err
	}
	s := &stackBuilder{m: m, sp: top - 8}
	fn, err := s.push(append([]byte(execFn), 0))
	if err != nil {
		return 0, err
	}
	envs, err := s.pushStrings(args.Envv)
	if err != nil {
		return 0, err
	}
	envStart, envEnd := s.sp, fn
	argv, err := s.pushStrings(args.Argv)
	if err != nil {
		return 0, err
	}
	argStart := s.sp
	plat, err := s.push([]byte("x86_64\x00"))
	if err != nil {
		return 0, err
	}
	s.sp &^= 15
	var random [16]byte
	rand.Read(random[:])
	rnd, err := s.push(random[:])
	if err != nil {
		return 0, err
	}
	auxv = append(auxv, aux{atPlatform, uint64(plat)}, aux{atRandom, uint64(rnd)}, aux{atExecFn, uint64(fn)}, aux{0, 0})

	words := 1 + len(argv) + 1 + len(envs) + 1 + 2*len(auxv)
	s.sp = (s.sp - usermem.Addr(words*8)) &^ 15
	b := make([]byte, 0, words*8)
	put := func(v uint64) { b = binary.LittleEndian.AppendUint64(b, v) }
	put(uint64(len(argv)))
	for _, a := range argv {
		put(uint64(a))
	}
	put(0)
	for _, a := range envs {
		put(uint64(a))
	}
	put(0)
	auxAt := len(b)
	for _, a := range auxv {
		put(a.key)
		put(a.val)
	}
	if _, err := m.CopyOut(s.sp, b); err != nil {
		return 0, unix.E2BIG
	}
	m.SetTitle(args.Argv)
	m.SetInfo(func(i *mm.Info) {
		i.ArgStart, i.ArgEnd, i.EnvStart, i.EnvEnd = argStart, envStart, envStart, envEnd
		i.StackStart = s.sp
		i.Auxv = b[auxAt:]
	})
	return s.sp, nil
}

// stringsSize returns the room that arguments and environment take with their pointers.
func stringsSize(args *kernel.LoadArgs) (n uint64) {
	for _, l := range [][]string{args.Argv, args.Envv} {
		for _, s := range l {
			n += uint64(len(s)) + 1 + 8
		}
	}
	return n
}
