package loader

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"ringfort/sentry/usermem"
)

// FuzzELF has files of any content parsed as programs. What is accepted has segments within the address space, in order,
// and an interpreter of sane length.
func FuzzELF(f *testing.F) {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(self[:min(len(self), 4096)])
	f.Add([]byte("\x7fELF"))
	small := make([]byte, ehdrSize+3*phdrSize+8)
	copy(small, "\x7fELF\x02\x01\x01")
	small[16], small[18], small[24], small[32], small[54], small[56] = 3, 62, 1, ehdrSize, phdrSize, 3
	seg := small[ehdrSize:]
	seg[0], seg[4], seg[32], seg[40] = 1, 5, 200, 201 // PT_LOAD
	seg = seg[phdrSize:]
	seg[0], seg[8], seg[32] = 3, ehdrSize+3*phdrSize, 8 // PT_INTERP
	copy(small[ehdrSize+3*phdrSize:], "/lib/ld\x00")
	seg = seg[phdrSize:]
	seg[0], seg[1], seg[2], seg[3] = 0x51, 0xe5, 0x74, 0x64 // PT_GNU_STACK
	f.Add(small)
	f.Fuzz(func(t *testing.T, data []byte) {
		im, err := parse(func(b []byte, off int64) (int64, error) {
			if off < 0 {
				t.Fatalf("a read at %d", off)
			}
			if off >= int64(len(data)) {
				return 0, nil
			}
			return int64(copy(b, data[off:])), nil
		})
		if err != nil {
			if err != unix.ENOEXEC && err != unix.EINVAL {
				t.Errorf("error %v", err)
			}
			return
		}
		start, end, align := im.span()
		if start >= end && end != start || end > 1<<47+usermem.PageSize || align < usermem.PageSize || align&(align-1) != 0 {
			t.Errorf("segments from %#x to %#x, aligned to %#x", start, end, align)
		}
		if len(im.interp) > 4096 {
			t.Errorf("an interpreter of %d bytes", len(im.interp))
		}
	})
}

// FuzzScript has first lines of any content parsed, and the values of security.capability.
func FuzzScript(f *testing.F) {
	for _, s := range []string{"#!/bin/sh\n", "#! /usr/bin/env -S a b\nx", "#!", "#!\x00", "#! \t\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := parseFileCaps(data); err != nil && err != unix.EINVAL {
			t.Errorf("capabilities: %v", err)
		}
		if len(data) < 2 || data[0] != '#' || data[1] != '!' {
			return
		}
		interp, _, err := script(data[:min(len(data), scriptLine)])
		if err == nil && interp == "" {
			t.Error("a script without an interpreter")
		}
	})
}
