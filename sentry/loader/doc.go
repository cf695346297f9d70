// Package loader turns an executable file into a program ready to run: scripts,
// ELF images, the initial stack with its auxiliary vector, and the identity a
// set-user-ID file gives.
//
// Executables are hostile input: every size, offset and address is checked
// before use, and a file that Linux would refuse is refused with the same errno.
package loader
