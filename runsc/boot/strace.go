package boot

import (
	"fmt"
	"log/slog"
	"strings"

	"golang.org/x/sys/unix"

	"ringfort/sentry/arch"
	"ringfort/sentry/kernel"
	"ringfort/sentry/usermem"
	"ringfort/syscalls"
)

// straceLog writes system calls to the log (--strace).
type straceLog struct {
	log   *slog.Logger
	calls map[uintptr]syscalls.Call
}

func newStrace(log *slog.Logger) *straceLog {
	s := &straceLog{log: log, calls: map[uintptr]syscalls.Call{}}
	for _, c := range syscalls.Table() {
		s.calls[c.Nr] = c
	}
	return s
}

// Enter implements kernel.Tracer.
func (s *straceLog) Enter(t *kernel.Task, nr uintptr, args *arch.SyscallArguments) {
	s.log.Info("strace", "tid", t.TID(), "comm", t.Name(), "enter", s.call(t, nr, args))
}

// Exit implements kernel.Tracer.
func (s *straceLog) Exit(t *kernel.Task, nr uintptr, args *arch.SyscallArguments, ret uintptr, err error) {
	result := fmt.Sprintf("%#x", ret)
	if err != nil {
		result = err.Error()
		if e, ok := err.(unix.Errno); ok && unix.ErrnoName(e) != "" {
			result = unix.ErrnoName(e)
		}
	}
	s.log.Info("strace", "tid", t.TID(), "comm", t.Name(), "exit", syscalls.Name(nr), "result", result)
}

func (s *straceLog) call(t *kernel.Task, nr uintptr, args *arch.SyscallArguments) string {
	c, ok := s.calls[nr]
	if !ok {
		return fmt.Sprintf("%s(%#x, %#x, %#x, %#x, %#x, %#x)", syscalls.Name(nr), args[0], args[1], args[2], args[3], args[4], args[5])
	}
	var parts []string
	for i, f := range c.Args {
		parts = append(parts, formatArg(t, f, args[i]))
	}
	return c.Name + "(" + strings.Join(parts, ", ") + ")"
}

func formatArg(t *kernel.Task, f syscalls.Arg, a arch.Argument) string {
	switch f {
	case syscalls.Int, syscalls.FD, syscalls.Sig:
		return fmt.Sprint(a.Int())
	case syscalls.DirFD:
		if a.Int() == unix.AT_FDCWD {
			return "AT_FDCWD"
		}
		return fmt.Sprint(a.Int())
	case syscalls.UInt, syscalls.Size, syscalls.Offset:
		return fmt.Sprint(a.Int64())
	case syscalls.Mode:
		return fmt.Sprintf("%#o", a.Mode())
	case syscalls.Path:
		s, err := usermem.CopyInString(t.MM(), usermem.Addr(a.Pointer()), 256)
		if err != nil {
			return fmt.Sprintf("%#x", a.Uint64())
		}
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%#x", a.Uint64())
}
