package vfs

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func tag(kind string, id int) string { return kind + ":" + strconv.Itoa(id) }

// mountOptions is the order in which Linux shows a mount's flags (proc(5)).
var mountOptions = []struct {
	flag uint64
	name string
}{
	{unix.MS_NOSUID, "nosuid"}, {unix.MS_NODEV, "nodev"}, {unix.MS_NOEXEC, "noexec"}, {unix.MS_NOATIME, "noatime"},
	{unix.MS_NODIRATIME, "nodiratime"}, {unix.MS_RELATIME, "relatime"}, {unix.MS_NOSYMFOLLOW, "nosymfollow"},
}

// OptionString returns the flags as /proc/mounts shows them.
func OptionString(flags uint64) string {
	s := "rw"
	if flags&unix.MS_RDONLY != 0 {
		s = "ro"
	}
	for _, o := range mountOptions {
		if flags&o.flag != 0 {
			s += "," + o.name
		}
	}
	return s
}

var mountEscape = strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`)

func sourceOf(in *MountInfo) string {
	if in.Source == "" {
		return "none"
	}
	return in.Source
}

func superOptions(in *MountInfo, first string) string {
	if in.SuperOpts != "" {
		return first + "," + in.SuperOpts
	}
	return first
}

// FormatMounts returns the text of /proc/PID/mounts.
func (ns *MountNamespace) FormatMounts(root Path) string {
	var b strings.Builder
	for _, in := range ns.List(root) {
		fmt.Fprintf(&b, "%s %s %s %s 0 0\n", mountEscape.Replace(sourceOf(&in)), mountEscape.Replace(in.Point), in.Type,
			superOptions(&in, OptionString(in.Flags)))
	}
	return b.String()
}

// FormatMountInfo returns the text of /proc/PID/mountinfo.
func (ns *MountNamespace) FormatMountInfo(root Path) string {
	var b strings.Builder
	for _, in := range ns.List(root) {
		fmt.Fprintf(&b, "%d %d %d:%d %s %s %s", in.ID, in.Parent, unix.Major(in.Dev), unix.Minor(in.Dev),
			mountEscape.Replace(in.Root), mountEscape.Replace(in.Point), OptionString(in.Flags))
		for _, t := range in.Tags {
			b.WriteString(" " + t)
		}
		fmt.Fprintf(&b, " - %s %s %s\n", in.Type, mountEscape.Replace(sourceOf(&in)), superOptions(&in, "rw"))
	}
	return b.String()
}

// FormatMountStats returns the text of /proc/PID/mountstats.
func (ns *MountNamespace) FormatMountStats(root Path) string {
	var b strings.Builder
	for _, in := range ns.List(root) {
		fmt.Fprintf(&b, "device %s mounted on %s with fstype %s\n", mountEscape.Replace(sourceOf(&in)),
			mountEscape.Replace(in.Point), in.Type)
	}
	return b.String()
}
