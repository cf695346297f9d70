package boot

import (
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"ringfort/sentry/arch"
	"ringfort/sentry/kernel"
	"ringfort/syscalls"
)

// seccompRule is one rule of linux.seccomp: its action if all its conditions hold.
type seccompRule struct {
	verdict uint32
	args    []specs.LinuxSeccompArg
}

// seccompTable is linux.seccomp as a table by system call number.
type seccompTable struct {
	rules   map[uintptr][]seccompRule
	verdict uint32 // of calls that no rule is about
}

// seccompFilters returns the filter of a spec, which its processes start with.
func seccompFilters(s *specs.Spec) ([]kernel.SeccompFilter, error) {
	if s.Linux == nil || s.Linux.Seccomp == nil {
		return nil, nil
	}
	sc := s.Linux.Seccomp
	verdict, err := seccompVerdict(sc.DefaultAction, sc.DefaultErrnoRet)
	if err != nil {
		return nil, fmt.Errorf("linux.seccomp.defaultAction: %w", err)
	}
	t := &seccompTable{rules: map[uintptr][]seccompRule{}, verdict: verdict}
	numbers := syscallNumbers()
	for i, call := range sc.Syscalls {
		v, err := seccompVerdict(call.Action, call.ErrnoRet)
		if err != nil {
			return nil, fmt.Errorf("linux.seccomp.syscalls[%d]: %w", i, err)
		}
		for _, name := range call.Names {
			nr, ok := numbers[name]
			if !ok {
				continue // of another architecture or a newer kernel, as with runc
			}
			t.rules[nr] = append(t.rules[nr], splitArgs(v, call.Args)...)
		}
	}
	return []kernel.SeccompFilter{{Match: t.match}}, nil
}

// splitArgs makes one rule of all conditions, or, if two are about one
// argument, a rule of each (as runc: such conditions are alternatives).
func splitArgs(verdict uint32, args []specs.LinuxSeccompArg) []seccompRule {
	var seen [6]bool
	for _, a := range args {
		if a.Index < 6 && seen[a.Index] {
			var list []seccompRule
			for _, b := range args {
				list = append(list, seccompRule{verdict, []specs.LinuxSeccompArg{b}})
			}
			return list
		}
		if a.Index < 6 {
			seen[a.Index] = true
		}
	}
	return []seccompRule{{verdict, args}}
}

// match returns the verdict about a call.
func (t *seccompTable) match(nr uintptr, args *arch.SyscallArguments) uint32 {
	for _, r := range t.rules[nr] {
		if r.holds(args) {
			return r.verdict
		}
	}
	return t.verdict
}

func (r *seccompRule) holds(args *arch.SyscallArguments) bool {
	for _, a := range r.args {
		if a.Index > 5 || !compareArg(args[a.Index].Uint64(), &a) {
			return false
		}
	}
	return true
}

func compareArg(v uint64, a *specs.LinuxSeccompArg) bool {
	switch a.Op {
	case specs.OpNotEqual:
		return v != a.Value
	case specs.OpLessThan:
		return v < a.Value
	case specs.OpLessEqual:
		return v <= a.Value
	case specs.OpEqualTo:
		return v == a.Value
	case specs.OpGreaterEqual:
		return v >= a.Value
	case specs.OpGreaterThan:
		return v > a.Value
	case specs.OpMaskedEqual:
		return v&a.Value == a.ValueTwo
	}
	return false
}

// seccompVerdict returns the SECCOMP_RET_* value of an action.
func seccompVerdict(action specs.LinuxSeccompAction, errno *uint) (uint32, error) {
	data := uint32(unix.EPERM)
	if errno != nil {
		data = uint32(*errno)
	}
	switch action {
	case specs.ActAllow:
		return unix.SECCOMP_RET_ALLOW, nil
	case specs.ActErrno:
		return unix.SECCOMP_RET_ERRNO | data&0xffff, nil
	case specs.ActKill, specs.ActKillThread:
		return unix.SECCOMP_RET_KILL_THREAD, nil
	case specs.ActKillProcess:
		return unix.SECCOMP_RET_KILL_PROCESS, nil
	case specs.ActTrap:
		return unix.SECCOMP_RET_TRAP, nil
	case specs.ActLog:
		return unix.SECCOMP_RET_LOG, nil
	case specs.ActTrace:
		return unix.SECCOMP_RET_TRACE | data&0xffff, nil
	}
	return 0, fmt.Errorf("action %q is not supported", action)
}

// syscallNumbers maps the names of system calls to their numbers.
func syscallNumbers() map[string]uintptr {
	m := map[string]uintptr{}
	for _, c := range syscalls.Table() {
		m[c.Name] = c.Nr
	}
	return m
}
