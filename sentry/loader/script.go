package loader

import (
	"bytes"

	"golang.org/x/sys/unix"

	"ringfort/sentry/kernel"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

// scriptLine is how much of a file is looked at for "#!" (BINPRM_BUF_SIZE).
const scriptLine = 256

// head reads the first bytes of a file.
func head(t *kernel.Task, d *vfs.Description) ([]byte, error) {
	b := make([]byte, scriptLine)
	n, err := d.ReadAt(t, usermem.BytesSeq(b), 0)
	if err == unix.EISDIR {
		err = unix.EACCES
	}
	return b[:n], err
}

// script parses the first line of a script (execve(2), "Interpreter scripts").
func script(b []byte) (interp, arg string, err error) {
	line := b[2:]
	end := bytes.IndexByte(line, '\n')
	if end < 0 && len(b) == scriptLine {
		// The line is cut: at least the interpreter's name must be whole.
		if !bytes.ContainsAny(bytes.TrimLeft(line, " \t"), " \t") {
			return "", "", unix.ENOEXEC
		}
	} else if end >= 0 {
		line = line[:end]
	}
	if i := bytes.IndexByte(line, 0); i >= 0 {
		line = line[:i]
	}
	line = bytes.Trim(line, " \t")
	if len(line) == 0 {
		return "", "", unix.ENOEXEC
	}
	if i := bytes.IndexAny(line, " \t"); i >= 0 {
		return string(line[:i]), string(bytes.TrimLeft(line[i:], " \t")), nil
	}
	return string(line), "", nil
}
