// Package names owns the tables of answers about path names that a platform's
// stub reads beside the application, and the generations that make them void.
//
// Programs ask for the same names that are not there, or are no symbolic links,
// again and again: a compiler's process asks 1,600 times for 300 of them. Such a call
// changes nothing, and what it returns follows from the name, from whose root and
// credentials it is asked with, and from the names the file systems have. So the
// answer holds until one of those names changes.
//
// A Table has the answers for everybody who sees the same names with the same
// rights. A stub has it mapped read-only. An entry says which generation, of the
// world and of one name, it was true in; a change moves the generation on before
// anybody can see the change (Begin), and nothing is entered while one is under way.
// So whoever looks up a name, in the table or by a system call, sees it changed
// once anybody has.
//
// To read: seq of an entry must be even, key and path those of the call, the two
// generations those that World and slot have now, and seq the same after all that.
//
// All of it is a cache: it may lose anything at any time.
package names
