package metrics

import (
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"
)

// A family is a metric with its samples (Prometheus, "Exposition formats").
type family struct {
	name, kind, help string
	samples          []string
}

// A page gathers families in the order in which they first get a sample.
type page struct {
	families []*family
	byName   map[string]*family
}

// labels are names and values, one after the other.
type labels []string

// add adds a sample. kind is "gauge" or "counter".
func (p *page) add(name, kind, help string, value float64, l labels) {
	f := p.byName[name]
	if f == nil {
		f = &family{name: name, kind: kind, help: help}
		if p.byName == nil {
			p.byName = map[string]*family{}
		}
		p.byName[name] = f
		p.families = append(p.families, f)
	}
	f.samples = append(f.samples, name+l.String()+" "+strconv.FormatFloat(value, 'g', -1, 64))
}

// String is the labels as they stand behind a name.
func (l labels) String() string {
	var parts []string
	for i := 0; i+1 < len(l); i += 2 {
		if l[i+1] != "" { // no label is the same as an empty one
			parts = append(parts, l[i]+`="`+escape.Replace(strings.ToValidUTF8(l[i+1], "?"))+`"`)
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// escape is for values of labels.
var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// write prints the page.
func (p *page) write(w io.Writer) {
	for _, f := range p.families {
		fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", f.name, f.help, f.name, f.kind)
		sort.Strings(f.samples)
		for _, s := range f.samples {
			io.WriteString(w, s+"\n")
		}
	}
}
