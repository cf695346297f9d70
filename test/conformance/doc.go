// Package conformance runs C programs natively and in the sandbox. Each program
// holds the cases of one family of system calls and prints a line for each,
// "ok NAME" or "FAIL NAME: why". The native kernel is the oracle: a case that
// fails natively is an error of the case.
package conformance
