package harness

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// LoadImage gives a containerd, by its program ctr, an image for Kubernetes that has busybox and runs cmd.
func LoadImage(ctr, socket, name string, cmd ...string) error {
	image, err := makeImage(name, cmd)
	if err != nil {
		return err
	}
	c := exec.Command(ctr, "-a", socket, "-n", "k8s.io", "images", "import", "-")
	c.Stdin = bytes.NewReader(image)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("import %s: %w: %s", name, err, out)
	}
	return nil
}

// makeImage returns an OCI image layout as a tar archive.
func makeImage(name string, cmd []string) ([]byte, error) {
	layer, err := busyboxLayer()
	if err != nil {
		return nil, err
	}
	digest := func(b []byte) string { s := sha256.Sum256(b); return hex.EncodeToString(s[:]) }
	object := func(v any) []byte { b, _ := json.Marshal(v); return b }
	type m = map[string]any
	conf := object(m{
		"architecture": "amd64", "os": "linux", "config": m{"Cmd": cmd, "Env": []string{"PATH=/bin"}},
		"rootfs": m{"type": "layers", "diff_ids": []string{"sha256:" + digest(layer)}},
	})
	descriptor := func(kind string, b []byte) m {
		return m{"mediaType": "application/vnd.oci.image." + kind, "digest": "sha256:" + digest(b), "size": len(b)}
	}
	manifest := object(m{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": descriptor("config.v1+json", conf), "layers": []m{descriptor("layer.v1.tar", layer)},
	})
	top := descriptor("manifest.v1+json", manifest)
	top["annotations"] = m{"io.containerd.image.name": name}
	var out bytes.Buffer
	t := tar.NewWriter(&out)
	add := func(name string, b []byte) {
		t.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(b))})
		t.Write(b)
	}
	add("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	add("index.json", object(m{"schemaVersion": 2, "manifests": []m{top}}))
	for _, b := range [][]byte{layer, conf, manifest} {
		add("blobs/sha256/"+digest(b), b)
	}
	return out.Bytes(), t.Close()
}

// busyboxLayer is a root file system with every applet.
func busyboxLayer() ([]byte, error) {
	data, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return nil, err
	}
	applets, err := exec.Command("/bin/busybox", "--list").Output()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	t := tar.NewWriter(&out)
	for _, dir := range []string{"bin", "tmp", "etc", "proc", "sys", "dev", "root", "var"} {
		t.WriteHeader(&tar.Header{Name: dir, Typeflag: tar.TypeDir, Mode: 0o755})
	}
	t.WriteHeader(&tar.Header{Name: "bin/busybox", Mode: 0o755, Size: int64(len(data))})
	t.Write(data)
	for _, a := range strings.Fields(string(applets)) {
		if a != "busybox" {
			t.WriteHeader(&tar.Header{Name: "bin/" + a, Typeflag: tar.TypeSymlink, Linkname: "busybox"})
		}
	}
	passwd := "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n"
	t.WriteHeader(&tar.Header{Name: "etc/passwd", Mode: 0o644, Size: int64(len(passwd))})
	io.WriteString(t, passwd)
	return out.Bytes(), t.Close()
}
