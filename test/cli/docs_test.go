package cli

import (
	"os"
	"strings"
	"testing"
)

// TestFlagsPage holds the page of commands and options against the program.
func TestFlagsPage(t *testing.T) {
	data, err := os.ReadFile("../../docs/flags.md")
	if err != nil {
		t.Fatal(err)
	}
	if help := newEnv(t).must("help", "--all"); !strings.Contains(string(data), help) {
		t.Error("docs/flags.md is not what `runsc help --all` says: run `make docs`")
	}
}
