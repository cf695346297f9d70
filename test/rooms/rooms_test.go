package rooms

import (
	"os/exec"
	"strings"
	"testing"
)

// rooms says what each room may import of the others; longer prefixes win.
// "all" is everything but runsc.
var rooms = []struct {
	prefix  string
	allowed []string
}{
	{"ringfort/platform", []string{"ringfort/platform", "ringfort/sentry/arch"}},
	{"ringfort/sentry/arch", nil},
	{"ringfort/sentry/fs/gofer", []string{"ringfort/sentry", "ringfort/platform", "ringfort/netstack", "ringfort/gofer/wire"}},
	{"ringfort/sentry", []string{"ringfort/sentry", "ringfort/platform", "ringfort/netstack"}},
	{"ringfort/syscalls", []string{"ringfort/sentry", "ringfort/syscalls", "ringfort/platform"}},
	{"ringfort/gofer", []string{"ringfort/gofer"}},
	{"ringfort/netstack", []string{"ringfort/netstack"}},
	{"ringfort/seccompfilters", []string{"ringfort/seccompfilters"}},
}

// forbidden are packages that nobody may import: they are the product itself.
var forbidden = []string{
	"gvisor.dev/gvisor/pkg/sentry", "gvisor.dev/gvisor/pkg/ring0", "gvisor.dev/gvisor/runsc", "gvisor.dev/gvisor/shim", "gvisor.dev/gvisor/pkg/shim",
}

func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "ringfort/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		fields := strings.Fields(line)
		for _, imported := range fields[1:] {
			if why := refuse(fields[0], imported); why != "" {
				t.Errorf("%s imports %s: %s", fields[0], imported, why)
			}
		}
	}
}

// under reports whether pkg is prefix or below it.
func under(pkg, prefix string) bool { return pkg == prefix || strings.HasPrefix(pkg, prefix+"/") }

// refuse says why pkg may not import another, "" if it may.
func refuse(pkg, imported string) string {
	for _, f := range forbidden {
		if under(imported, f) {
			return "it is the peer's product"
		}
	}
	if !under(imported, "ringfort") {
		return ""
	}
	if under(imported, "ringfort/runsc") && !under(pkg, "ringfort/runsc") && !under(pkg, "ringfort/test") {
		return "nothing imports runsc"
	}
	if under(imported, "ringfort/syscalls") && !under(pkg, "ringfort/syscalls") && !under(pkg, "ringfort/runsc") {
		return "only runsc imports syscalls"
	}
	for _, r := range rooms {
		if !under(pkg, r.prefix) {
			continue
		}
		for _, a := range r.allowed {
			if under(imported, a) {
				return ""
			}
		}
		return "not a room it may use"
	}
	return ""
}
