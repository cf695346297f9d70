package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// machine is where the figures come from.
type machine struct {
	CPU    string    `json:"cpu"`
	Kernel string    `json:"kernel"`
	Load   string    `json:"load"`
	Date   time.Time `json:"date"`
}

// thisMachine reads what there is to tell.
func thisMachine() machine {
	m := machine{Date: time.Now().UTC(), CPU: fmt.Sprintf("%d CPUs", goruntime.NumCPU())}
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for _, line := range strings.Split(string(data), "\n") {
			if k, v, _ := strings.Cut(line, ":"); strings.TrimSpace(k) == "model name" {
				m.CPU = fmt.Sprintf("%d × %s", goruntime.NumCPU(), strings.TrimSpace(v))
				break
			}
		}
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
	}
	if data, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load = strings.Join(strings.Fields(string(data))[:3], " ")
	}
	return m
}

// describe tells which binary a column is and how it was run.
func (b *bench) describe(column string) string {
	for _, rt := range b.runtimes {
		if rt.column != column {
			continue
		}
		name := filepath.Base(rt.binary)
		if out, err := exec.Command(rt.binary, "--version").Output(); err == nil {
			name, _, _ = strings.Cut(string(out), "\n")
		}
		if info, err := buildinfo.ReadFile(rt.binary); err == nil && strings.HasPrefix(info.Main.Version, "v") {
			name += ", " + info.Main.Path + " " + info.Main.Version
		}
		if len(rt.flags) == 0 {
			name += ", default flags"
		}
		return fmt.Sprintf("%s; `%s`", name, strings.Join(append(append([]string{"runsc", "--root=DIR"}, rt.flags...), "run", "--bundle=DIR", "ID"), " "))
	}
	return "none"
}

// jsonRow is a row as the JSON file has it.
type jsonRow struct {
	Name     string           `json:"name"`
	What     string           `json:"what"`
	Unit     string           `json:"unit"`
	Medians  map[string]any   `json:"medians"`
	Cells    map[string]*cell `json:"cells"`
	VsNative float64          `json:"limitVsNative,omitempty"`
	VsPeer   float64          `json:"limitVsPeer,omitempty"`
	Absolute float64          `json:"limit,omitempty"`
	Met      verdict          `json:"met"`
}

// json returns the figures with every sample, for programs.
func (b *bench) json() ([]byte, error) {
	out := struct {
		Machine  machine           `json:"machine"`
		Runtimes map[string]string `json:"runtimes"`
		Rounds   int               `json:"rounds"`
		Rows     []jsonRow         `json:"rows"`
	}{b.machine, map[string]string{ours: b.describe(ours), peer: b.describe(peer)}, b.runs, nil}
	for _, r := range rows {
		cells := b.table[r.Name]
		if len(cells) == 0 {
			continue
		}
		medians := map[string]any{}
		for column, c := range cells {
			if len(c.Samples) > 0 {
				medians[column] = c.value()
			}
		}
		out.Rows = append(out.Rows, jsonRow{r.Name, r.What, []string{"ns", "bytes", "1/s"}[r.Unit], medians, cells, r.VsNative, r.VsPeer, r.Absolute, r.judge(cells)})
	}
	data, err := json.MarshalIndent(out, "", "\t")
	return append(data, '\n'), err
}

// save writes the page, the figures and the chart into a directory.
func (b *bench) save(dir string) error {
	var page bytes.Buffer
	b.markdown(&page)
	figures, err := b.json()
	if err != nil {
		return err
	}
	chart, err := b.table.chart()
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{"performance.md": page.Bytes(), "performance.json": figures, "performance.svg": chart} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
