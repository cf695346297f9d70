// Package sysfs owns /sys: the processors and network links that programs look
// for there. Everything is made at reading; the package holds no locks.
package sysfs

import (
	"fmt"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"ringfort/sentry/fs/fsutil"
	"ringfort/sentry/kernel"
	"ringfort/sentry/vfs"
)

// magic is f_type of sysfs (statfs(2)).
const magic = 0x62656572

// builder makes the tree.
type builder struct {
	*fsutil.Tree
	c vfs.Caller
}

func (b builder) dir() *fsutil.Dir { return b.NewDir(b.c, 0o755) }

func (b builder) file(gen func(c vfs.Caller) string) *fsutil.Text {
	return b.NewText(b.c, 0o444, func(c vfs.Caller) (string, error) { return gen(c), nil })
}

func (b builder) text(s string) *fsutil.Text { return b.file(func(vfs.Caller) string { return s }) }

// New returns a sysfs.
func New(k *kernel.Kernel, c vfs.Caller) *vfs.Superblock {
	b := builder{fsutil.NewTree("sysfs", magic), c}
	class := b.dir().Add("net", b.net())
	for _, name := range []string{"block", "tty", "misc"} {
		class.Add(name, b.dir())
	}
	root := b.dir().
		Add("block", b.dir()).
		Add("bus", b.dir()).
		Add("class", class).
		Add("dev", b.dir().Add("block", b.dir()).Add("char", b.dir())).
		Add("devices", b.dir().Add("system", b.dir().Add("cpu", b.cpus(k.CPUs())).Add("node", b.nodes(k.CPUs()))).Add("virtual", b.dir())).
		Add("firmware", b.dir()).
		Add("fs", b.dir().Add("cgroup", b.dir())).
		Add("kernel", b.kernel()).
		Add("module", b.dir()).
		Add("power", b.dir())
	b.SB.SetRoot(root)
	return &b.SB
}

// kernel is /sys/kernel.
func (b builder) kernel() *fsutil.Dir {
	thp := b.dir().
		Add("enabled", b.text("always madvise [never]\n")).
		Add("defrag", b.text("always defer defer+madvise madvise [never]\n")).
		Add("hpage_pmd_size", b.text("2097152\n")).
		Add("shmem_enabled", b.text("always within_size advise [never] deny force\n"))
	return b.dir().Add("mm", b.dir().Add("transparent_hugepage", thp).Add("hugepages", b.dir()))
}

// cpuRange formats processors 0 to n-1 as the kernel's cpulist.
func cpuRange(n int) string {
	if n == 1 {
		return "0\n"
	}
	return fmt.Sprintf("0-%d\n", n-1)
}

// cpus is /sys/devices/system/cpu.
func (b builder) cpus(n int) *fsutil.Dir {
	all := cpuRange(n)
	d := b.dir().
		Add("kernel_max", b.text("63\n")).
		Add("offline", b.text("\n")).
		Add("online", b.text(all)).
		Add("possible", b.text(all)).
		Add("present", b.text(all))
	for i := range n {
		id := strconv.Itoa(i) + "\n"
		topology := b.dir().
			Add("core_id", b.text(id)).
			Add("core_siblings_list", b.text(all)).
			Add("physical_package_id", b.text("0\n")).
			Add("thread_siblings_list", b.text(id)).
			Add("core_cpus_list", b.text(id))
		cpu := b.dir().Add("topology", topology)
		if i > 0 {
			cpu.Add("online", b.text("1\n"))
		}
		d.Add("cpu"+strconv.Itoa(i), cpu)
	}
	return d
}

// nodes is /sys/devices/system/node: one node with everything.
func (b builder) nodes(cpus int) *fsutil.Dir {
	return b.dir().
		Add("online", b.text("0\n")).
		Add("possible", b.text("0\n")).
		Add("node0", b.dir().Add("cpulist", b.text(cpuRange(cpus))).Add("distance", b.text("10\n")))
}

// net is /sys/class/net: the links of the reader's network namespace.
func (b builder) net() *fsutil.Dir {
	d := b.dir()
	d.Find = func(c vfs.Caller, name string) (vfs.Inode, error) {
		for _, l := range linksOf(c) {
			if l.name == name {
				return b.link(c, l), nil
			}
		}
		return nil, unix.ENOENT
	}
	d.List = func(c vfs.Caller) (list []fsutil.Entry, err error) {
		for i, l := range linksOf(c) {
			list = append(list, fsutil.Entry{Name: l.name, Ino: uint64(1<<32 + l.index), Type: unix.DT_DIR, Pos: fsutil.FirstPos + int64(i)})
		}
		return list, nil
	}
	return d
}

// linkDir is the directory of a link as it was when it was looked up.
type linkDir struct {
	*fsutil.Dir
	link
}

// Valid reports whether the reader's link of that name is still the same.
func (d *linkDir) Valid(c vfs.Caller, _ vfs.Inode, _ string) bool {
	return slices.Contains(linksOf(c), d.link)
}

func (b builder) link(c vfs.Caller, l link) vfs.Inode {
	b.c = c
	state := "up\n"
	if l.loopback {
		state = "unknown\n"
	}
	kind := "1\n" // ARPHRD_ETHER
	if l.loopback {
		kind = "772\n" // ARPHRD_LOOPBACK
	}
	d := b.dir().
		Add("address", b.text(l.mac+"\n")).
		Add("carrier", b.text("1\n")).
		Add("flags", b.text(fmt.Sprintf("%#x\n", l.flags))).
		Add("ifindex", b.text(strconv.Itoa(l.index)+"\n")).
		Add("mtu", b.text(strconv.Itoa(l.mtu)+"\n")).
		Add("operstate", b.text(state)).
		Add("type", b.text(kind)).
		Add("speed", b.text("10000\n")).
		Add("uevent", b.text("INTERFACE="+l.name+"\nIFINDEX="+strconv.Itoa(l.index)+"\n"))
	return &linkDir{d, l}
}

// link is what is shown of a network link.
type link struct {
	name, mac  string
	index, mtu int
	flags      uint32
	loopback   bool
}

// linksOf returns the links of c's network namespace.
func linksOf(c vfs.Caller) (list []link) {
	t, ok := c.(*kernel.Task)
	if !ok || t.NetNS() == nil {
		return nil
	}
	for _, i := range t.NetNS().Stack.Interfaces() {
		mac := i.MAC.String()
		if mac == "" {
			mac = "00:00:00:00:00:00"
		}
		list = append(list, link{
			name: i.Name, mac: mac, index: i.Index, mtu: int(i.MTU), flags: i.Flags, loopback: i.Flags&unix.IFF_LOOPBACK != 0,
		})
	}
	return list
}
