package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// defaultDaemonJSON is where dockerd(8) reads its configuration.
const defaultDaemonJSON = "/etc/docker/daemon.json"

// A member is one name and value of a JSON object.
type member struct {
	name  string
	value json.RawMessage
}

// An object is a JSON object whose members keep their order and their text, so that a file of somebody else's can be
// changed in one place.
type object []member

// UnmarshalJSON implements json.Unmarshaler.
func (o *object) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return errors.New("not a JSON object")
	}
	*o = nil
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		m := member{name: t.(string)} // the grammar has been checked: names are strings
		if err := dec.Decode(&m.value); err != nil {
			return err
		}
		if o.get(m.name) != nil {
			return fmt.Errorf("%q is there twice", m.name)
		}
		*o = append(*o, m)
	}
	return nil
}

// MarshalJSON implements json.Marshaler.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(m.name)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// get returns a value, nil if it is not there.
func (o object) get(name string) json.RawMessage {
	for _, m := range o {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// set replaces a value where it stands, or appends it.
func (o *object) set(name string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	for i := range *o {
		if (*o)[i].name == name {
			(*o)[i].value = data
			return nil
		}
	}
	*o = append(*o, member{name, data})
	return nil
}

// remove takes a value out and tells whether it was there.
func (o *object) remove(name string) bool {
	for i, m := range *o {
		if m.name == name {
			*o = append((*o)[:i:i], (*o)[i+1:]...)
			return true
		}
	}
	return false
}

// maxDaemonJSON bounds the size of the configuration in bytes.
const maxDaemonJSON = 4 << 20

// A daemonJSON is the configuration of a Docker daemon.
type daemonJSON struct {
	file     string // as it was given
	real     string // behind symbolic links
	exists   bool
	mode     os.FileMode
	uid, gid int
	object
}

// readDaemonJSON reads the file; one that is not there, or is empty, is an empty configuration.
func readDaemonJSON(file string) (*daemonJSON, error) {
	d := &daemonJSON{file: file, real: file, mode: 0o644}
	if real, err := filepath.EvalSymlinks(file); err == nil {
		d.real = real
	}
	f, err := os.Open(d.real)
	if errors.Is(err, os.ErrNotExist) {
		return d, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", file)
	}
	sys := st.Sys().(*syscall.Stat_t)
	d.exists, d.mode, d.uid, d.gid = true, st.Mode().Perm(), int(sys.Uid), int(sys.Gid)
	data, err := io.ReadAll(io.LimitReader(f, maxDaemonJSON+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxDaemonJSON {
		return nil, fmt.Errorf("%s: larger than %d bytes", file, maxDaemonJSON)
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return d, nil
	}
	if err := json.Unmarshal(data, &d.object); err != nil {
		return nil, fmt.Errorf("%s: %w; nothing was changed: mend the file first (dockerd would not start with it either)", file, jsonError(data, err))
	}
	return d, nil
}

// jsonError adds the line to an error of grammar.
func jsonError(data []byte, err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) && syntax.Offset <= int64(len(data)) {
		return fmt.Errorf("line %d: %w", 1+bytes.Count(data[:syntax.Offset], []byte{'\n'}), err)
	}
	return err
}

// text returns the file's text as it is to be.
func (d *daemonJSON) text() ([]byte, error) {
	if d.object == nil {
		return []byte("{}\n"), nil
	}
	data, err := json.MarshalIndent(d.object, "", "    ")
	return append(data, '\n'), err
}

// write replaces the file as a whole, with its mode and owner.
func (d *daemonJSON) write() (err error) {
	data, err := d.text()
	if err != nil {
		return err
	}
	dir := filepath.Dir(d.real)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".daemon.json.*")
	if err != nil {
		return err
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if _, err = f.Write(data); err != nil {
		return err
	}
	if err = f.Chmod(d.mode); err != nil {
		return err
	}
	if d.exists {
		if err = f.Chown(d.uid, d.gid); err != nil {
			return err
		}
	}
	if err = f.Sync(); err != nil {
		return err
	}
	return os.Rename(f.Name(), d.real)
}

// runtimes returns the daemon's runtimes by name.
func (d *daemonJSON) runtimes() (object, error) {
	value := d.get("runtimes")
	if value == nil {
		return nil, nil
	}
	var o object
	if err := json.Unmarshal(value, &o); err != nil {
		return nil, fmt.Errorf("%s: runtimes: %w; nothing was changed", d.file, err)
	}
	return o, nil
}

// finish prints the new text, or writes it and says what has to be done next.
func (a *app) finish(d *daemonJSON, dryRun bool, done string) error {
	if dryRun {
		data, err := d.text()
		if err == nil {
			_, err = a.out.Write(data)
		}
		return err
	}
	if err := d.write(); err != nil {
		return fmt.Errorf("%s was not changed: %w", d.file, err)
	}
	fmt.Fprintf(a.out, "%s in %s; make the daemon read it: systemctl reload docker, or kill -HUP its process\n", done, d.file)
	return nil
}
