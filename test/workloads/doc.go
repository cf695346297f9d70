// Package workloads runs real software of a Debian root natively and in the
// sandbox. A workload is a script under scripts/; it must print the same bytes
// and exit with the same code in both.
package workloads
