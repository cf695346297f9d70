package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ringfort/test/harness"
)

// macroJobs run software of the Debian root. The times are those the program
// timeit takes inside, so that the start of the sandbox is no part of them.
func (b *bench) macroJobs() []*job {
	script := func(limit time.Duration, text string, rows ...string) *job {
		return &job{rows: rows, root: harness.Debian(), limit: limit, args: shell(text), prepare: b.timeit}
	}
	build := script(90*time.Second, `cd /src && timeit make make -s -j2 && ./program`, "make")
	build.prepare = func(root string) error {
		if err := project(filepath.Join(root, "src")); err != nil {
			return err
		}
		return b.timeit(root)
	}
	return []*job{
		script(60*time.Second, `timeit sh500 sh -c 'for i in $(seq 500); do /bin/true; done'`, "sh500"),
		build,
		script(60*time.Second, `for i in 1 2; do timeit find$i find / -xdev -fprint /dev/null; done`, "find1", "find2"),
		script(90*time.Second, `for i in 1 2; do timeit tar$i sh -c 'tar -cf - -C / usr/share | cat >/dev/null'; done`, "tar1", "tar2"),
		// The bytecode goes to a tree of its own in the root.
		script(90*time.Second, `export PYTHONPYCACHEPREFIX=/var/pyc; timeit compileall python3 -m compileall -q -f /usr/lib/python3.11`, "compileall"),
		script(30*time.Second, `cd /tmp && printf '#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n' >hello.c
timeit gcc3 sh -c 'for i in 1 2 3; do gcc -O2 -o hello hello.c || exit 1; done'`, "gcc3"),
	}
}

// shell returns a command that runs a script and stops at its first failure.
func shell(text string) func(string, []string) []string {
	return func(string, []string) []string { return []string{"/bin/sh", "-ec", text} }
}

// timeit puts the program into a root.
func (b *bench) timeit(root string) error {
	data, err := os.ReadFile(filepath.Join(b.dir, "bin/timeit"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, "usr/bin/timeit"), data, 0o755)
}

// project writes a C program of 50 files with a Makefile.
func project(dir string) error {
	const files = 50
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	write := func(name, text string) error { return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644) }
	var header, calls strings.Builder
	for i := range files - 1 {
		fmt.Fprintf(&header, "long part%d(const char *text, long n);\n", i)
		fmt.Fprintf(&calls, "\tsum += part%d(\"text of some length\", %d);\n", i, i)
		if err := write(fmt.Sprintf("part%d.c", i), fmt.Sprintf(part, i, i, i)); err != nil {
			return err
		}
	}
	return firstError(
		write("project.h", "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <errno.h>\n#include <unistd.h>\n"+header.String()),
		write("main.c", "#include \"project.h\"\nint main(void) {\n\tlong sum = 0;\n"+calls.String()+"\treturn sum == 0;\n}\n"),
		write("Makefile", "CFLAGS = -O2 -Wall\nprogram: $(patsubst %.c,%.o,$(wildcard *.c))\n\t$(CC) -o $@ $^\n%.o: %.c project.h\n\t$(CC) $(CFLAGS) -c -o $@ $<\n"),
	)
}

// part is a file of the project: something to do for an optimizer.
const part = `#include "project.h"

struct entry%d {
	char key[32];
	long value;
};

static int compare(const void *a, const void *b) {
	const struct entry%[1]d *x = a, *y = b;
	int c = strcmp(x->key, y->key);
	return c ? c : (x->value > y->value) - (x->value < y->value);
}

long part%d(const char *text, long n) {
	struct entry%[1]d *all = calloc(n + 1, sizeof *all);
	long sum = %d;
	if (!all) return -errno;
	for (long i = 0; i <= n; i++) {
		snprintf(all[i].key, sizeof all[i].key, "%%s-%%ld", text, i * 7919 %% 101);
		all[i].value = i * i;
	}
	qsort(all, n + 1, sizeof *all, compare);
	for (long i = 0; i <= n; i++)
		for (const char *p = all[i].key; *p; p++) sum = sum * 31 + *p + all[i].value;
	free(all);
	return sum | 1;
}
`

// firstError returns the first that is not nil.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
