package spec

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ConfigName is the name of the configuration in a bundle (OCI runtime-spec, bundle.md).
const ConfigName = "config.json"

// maxConfig bounds the size of a configuration in bytes.
const maxConfig = 64 << 20

// Load reads, checks and completes the configuration of a bundle. Paths of the host in the result are absolute.
func Load(bundle string) (*specs.Spec, error) {
	file := filepath.Join(bundle, ConfigName)
	var s specs.Spec
	if err := readJSON(file, &s); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("JSON specification file %s not found", file)
		}
		return nil, err
	}
	complete(&s, bundle)
	if err := Check(&s); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	inheritRlimits(s.Process)
	return &s, checkRoot(&s)
}

// LoadProcess reads the process of an exec from a file of its own and checks it.
func LoadProcess(file string) (*specs.Process, error) {
	var p specs.Process
	if err := readJSON(file, &p); err != nil {
		return nil, err
	}
	if err := CheckProcess(&p); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	inheritRlimits(&p)
	return &p, nil
}

// LoadResources reads the resources of an update from a file, "-" for standard input.
func LoadResources(file string) (*specs.LinuxResources, error) {
	if file == "-" {
		file = "/dev/stdin"
	}
	var r specs.LinuxResources
	if err := readJSON(file, &r); err != nil {
		return nil, err
	}
	return &r, nil
}

// readJSON decodes one JSON value and words what is wrong with it for a person.
func readJSON(file string, into any) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return err
	}
	if len(data) > maxConfig {
		return fmt.Errorf("%s: larger than %d bytes", file, maxConfig)
	}
	if len(strings.TrimSpace(string(data))) == 0 {
		return fmt.Errorf("%s: the file is empty", file)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %s", file, wording(data, err))
	}
	return nil
}

// wording says where in the file the error is.
func wording(data []byte, err error) string {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		line, col := position(data, syntax.Offset)
		return fmt.Sprintf("line %d, column %d: not JSON: %s", line, col, syntax.Error())
	case errors.As(err, &kind):
		line, _ := position(data, kind.Offset)
		field := kind.Field
		if field == "" {
			field = "the whole"
		}
		return fmt.Sprintf("line %d: %s: a JSON %s is not a %s", line, field, kind.Value, kind.Type)
	}
	return err.Error()
}

func position(data []byte, offset int64) (line, col int) {
	offset = min(max(offset, 0), int64(len(data)))
	before := string(data[:offset])
	line = 1 + strings.Count(before, "\n")
	return line, len(before) - strings.LastIndexByte(before, '\n') - 1
}

// complete makes paths of the host absolute and sets what has a default.
func complete(s *specs.Spec, bundle string) {
	if s.Root != nil && s.Root.Path != "" && !filepath.IsAbs(s.Root.Path) {
		s.Root.Path = filepath.Join(bundle, s.Root.Path)
	}
	if s.Linux == nil {
		s.Linux = &specs.Linux{}
	}
	for i := range s.Mounts {
		m := &s.Mounts[i]
		if m.Type == "none" || m.Type == "" {
			m.Type = "none"
			if IsBind(m) {
				m.Type = "bind"
			}
		}
		if !filepath.IsAbs(m.Destination) {
			// runtime-spec, config.md#mounts: a relative destination is deprecated, and taken as below "/".
			m.Destination = filepath.Join("/", m.Destination)
		}
		if IsBind(m) && m.Source != "" && !filepath.IsAbs(m.Source) {
			m.Source = filepath.Join(bundle, m.Source)
		}
	}
}

// checkRoot looks at the root file system itself.
func checkRoot(s *specs.Spec) error {
	st, err := os.Stat(s.Root.Path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("root.path: %s does not exist", s.Root.Path)
		}
		return fmt.Errorf("root.path: %w", err)
	}
	if !st.IsDir() {
		return fmt.Errorf("root.path: %s is not a directory", s.Root.Path)
	}
	return nil
}

// IsBind tells whether a mount is of files of the host.
func IsBind(m *specs.Mount) bool {
	if m.Type == "bind" {
		return true
	}
	if m.Type != "" && m.Type != "none" {
		return false
	}
	for _, o := range m.Options {
		if o == "bind" || o == "rbind" {
			return true
		}
	}
	return false
}
