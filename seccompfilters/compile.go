package seccompfilters

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Offsets into struct seccomp_data (seccomp(2)).
const (
	offsetNr   = 0
	offsetArch = 4
	offsetArgs = 16
)

// maxProgram is BPF_MAXINSNS of linux/bpf_common.h.
const maxProgram = 4096

const (
	loadWord = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	jumpEq   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	jumpGt   = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
	andK     = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	jumpOn   = unix.BPF_JMP | unix.BPF_JA
	ret      = unix.BPF_RET | unix.BPF_K
)

// Compile makes a filter of rules that answers denied to everything not allowed. A call from another architecture
// kills the process whatever denied is: its numbers mean other calls.
func Compile(rules []Rule, denied uint32) ([]unix.SockFilter, error) {
	p := []unix.SockFilter{
		{Code: loadWord, K: offsetArch},
		{Code: jumpEq, Jt: 1, K: unix.AUDIT_ARCH_X86_64},
		{Code: ret, K: unix.SECCOMP_RET_KILL_PROCESS},
		{Code: loadWord, K: offsetNr},
	}
	for _, group := range groupByNr(rules) {
		body, err := compileCall(group)
		if err != nil {
			return nil, err
		}
		// When the number differs, jump over the body. A body can be longer than a conditional jump reaches.
		p = append(p,
			unix.SockFilter{Code: jumpEq, Jt: 1, K: uint32(group[0].Nr)},
			unix.SockFilter{Code: jumpOn, K: uint32(len(body))})
		p = append(p, body...)
	}
	p = append(p, unix.SockFilter{Code: ret, K: denied})
	if len(p) > maxProgram {
		return nil, fmt.Errorf("seccomp: %d instructions are more than the kernel takes", len(p))
	}
	return p, nil
}

// groupByNr collects the rules of each call at the place of the first one.
func groupByNr(rules []Rule) [][]Rule {
	at := make(map[uintptr]int)
	var groups [][]Rule
	for _, r := range rules {
		i, ok := at[r.Nr]
		if !ok {
			i = len(groups)
			at[r.Nr] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], r)
	}
	return groups
}

// compileCall makes the body for one call: it returns if a rule allows it, and falls through, with the number in the
// accumulator again, if none does.
func compileCall(group []Rule) ([]unix.SockFilter, error) {
	var body []unix.SockFilter
	for _, r := range group {
		answer := uint32(unix.SECCOMP_RET_ALLOW)
		if r.Errno != 0 {
			answer = unix.SECCOMP_RET_ERRNO | uint32(r.Errno)
		}
		if len(r.Conds) == 0 {
			return append(body, unix.SockFilter{Code: ret, K: answer}), nil
		}
		var rule []unix.SockFilter
		for _, c := range r.Conds {
			if c.Arg > 5 || c.Op > lastOperator {
				return nil, fmt.Errorf("seccomp: bad condition on %s", Name(r.Nr))
			}
			rule = append(rule, compileCond(c)...)
		}
		rule = append(rule, unix.SockFilter{Code: ret, K: answer})
		if err := patch(rule); err != nil {
			return nil, fmt.Errorf("seccomp: %s: %w", Name(r.Nr), err)
		}
		body = append(body, rule...)
	}
	return append(body, unix.SockFilter{Code: loadWord, K: offsetNr}), nil
}

// The target of a jump inside a rule, until patch knows the distance. No real jump is that long.
const toEnd = 0xff // the condition fails: past the rule

// compileCond tests one condition on the two halves of an argument; BPF has 32-bit registers.
func compileCond(c Cond) []unix.SockFilter {
	low := uint32(offsetArgs + 8*uint32(c.Arg)) // little endian
	high := low + 4
	lowV, highV := uint32(c.Value), uint32(c.Value>>32)
	switch c.Op {
	case NotEqual:
		return []unix.SockFilter{
			{Code: loadWord, K: high}, {Code: jumpEq, Jf: 2, K: highV},
			{Code: loadWord, K: low}, {Code: jumpEq, Jt: toEnd, K: lowV},
		}
	case MaskedEqual:
		return []unix.SockFilter{
			{Code: loadWord, K: high}, {Code: andK, K: uint32(c.Mask >> 32)}, {Code: jumpEq, Jf: toEnd, K: highV},
			{Code: loadWord, K: low}, {Code: andK, K: uint32(c.Mask)}, {Code: jumpEq, Jf: toEnd, K: lowV},
		}
	case AtMost:
		return []unix.SockFilter{
			{Code: loadWord, K: high}, {Code: jumpGt, Jt: toEnd, K: highV}, {Code: jumpEq, Jf: 2, K: highV},
			{Code: loadWord, K: low}, {Code: jumpGt, Jt: toEnd, K: lowV},
		}
	}
	return []unix.SockFilter{
		{Code: loadWord, K: high}, {Code: jumpEq, Jf: toEnd, K: highV},
		{Code: loadWord, K: low}, {Code: jumpEq, Jf: toEnd, K: lowV},
	}
}

// patch gives the jumps marked toEnd their distance to the end of the rule.
func patch(rule []unix.SockFilter) error {
	for i := range rule {
		far := len(rule) - i - 1
		for _, j := range []*uint8{&rule[i].Jt, &rule[i].Jf} {
			if *j != toEnd {
				continue
			}
			if far >= toEnd {
				return fmt.Errorf("too many conditions in one rule")
			}
			*j = uint8(far)
		}
	}
	return nil
}
