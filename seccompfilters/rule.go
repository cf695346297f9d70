package seccompfilters

import "golang.org/x/sys/unix"

// An Op compares one argument of a system call.
type Op uint8

// The comparisons. All look at the whole 64 bits of the argument.
const (
	Equal        Op = iota // argument == Value
	NotEqual               // argument != Value
	MaskedEqual            // argument & Mask == Value
	AtMost                 // argument <= Value, unsigned
	lastOperator = AtMost
)

// A Cond is a condition on argument Arg (0 to 5).
type Cond struct {
	Arg   uint8
	Op    Op
	Value uint64
	Mask  uint64 // MaskedEqual only
}

// A Rule allows one system call, with any arguments or with those that meet all of Conds. Several rules may name the
// same call: any of them allows it. The order of a list is the order in which the filter looks, so that what is called
// most should stand first.
type Rule struct {
	Nr     uintptr
	Conds  []Cond
	Reason string
	// Errno, if set, is what the call fails with without being done: for calls that a library tries and can do without.
	Errno unix.Errno
}

// allow is a rule without conditions.
func allow(nr uintptr, reason string) Rule { return Rule{Nr: nr, Reason: reason} }

// allowIf is a rule with conditions.
func allowIf(nr uintptr, reason string, conds ...Cond) Rule {
	return Rule{Nr: nr, Conds: conds, Reason: reason}
}

// failIf is a rule of a call that is not done, but fails.
func failIf(nr uintptr, errno unix.Errno, reason string, conds ...Cond) Rule {
	return Rule{Nr: nr, Conds: conds, Reason: reason, Errno: errno}
}

func eq(arg uint8, v uint64) Cond { return Cond{Arg: arg, Op: Equal, Value: v} }
func ne(arg uint8, v uint64) Cond { return Cond{Arg: arg, Op: NotEqual, Value: v} }
func masked(arg uint8, mask, v uint64) Cond {
	return Cond{Arg: arg, Op: MaskedEqual, Mask: mask, Value: v}
}

// without demands that no bit of mask is set.
func without(arg uint8, mask uint64) Cond { return masked(arg, mask, 0) }
