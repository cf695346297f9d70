// Package cli is the command line of runsc: one file for each subcommand, compatible with runc where runc has the same
// word. Global options stand before the subcommand; -x and --x are the same.
//
// It turns arguments into calls of package container and errors into one line and an exit code; it must hold no logic
// of the life cycle itself.
package cli
