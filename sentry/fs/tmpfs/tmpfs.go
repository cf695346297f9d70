package tmpfs

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"ringfort/sentry/auth"
	"ringfort/sentry/pgalloc"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

// Magic is f_type of tmpfs (statfs(2)).
const Magic = unix.TMPFS_MAGIC

// Options are the mount options of tmpfs (tmpfs(5)). The zero value is a world-writable sticky directory without
// limits.
type Options struct {
	Mode uint32 // of the root; 0 is 01777
	UID  auth.KUID
	GID  auth.KGID
	Size uint64 // most bytes; 0 is no limit
	// Percent is Size as a part of Memory.
	Percent uint64
	// Memory is what there is in all, in bytes: half of it is the limit if nothing else is said. 0 is not known.
	Memory uint64
	// unlimited: the options say so.
	unlimited bool
	Inodes    uint64 // most inodes; 0 is no limit
	// Type is what /proc/mounts calls it; "" is tmpfs.
	Type string
	// Source is the device field of /proc/mounts.
	Source string
}

// fileSystem is one tmpfs.
type fileSystem struct {
	sb      vfs.Superblock
	mem     *pgalloc.File
	opts    Options
	quota   *pgalloc.Quota // of the pages
	inodes  atomic.Int64
	nextIno atomic.Uint64
}

// New returns a tmpfs with its pages in mem.
func New(mem *pgalloc.File, o Options) *vfs.Superblock {
	if o.Memory == 0 {
		o.Memory = uint64(mem.Limit())
	}
	if o.Percent > 0 {
		o.Size = o.Memory / 100 * o.Percent
	}
	fs := newFS(mem, o)
	mode := o.Mode
	if mode == 0 {
		mode = 01777
	}
	fs.sb.SetRoot(fs.newInode(nil, unix.S_IFDIR|mode&07777, o.UID, o.GID))
	return &fs.sb
}

func newFS(mem *pgalloc.File, o Options) *fileSystem {
	fs := &fileSystem{mem: mem, opts: o}
	fs.sb.Settled = true
	fs.sb.Type = o.Type
	if fs.sb.Type == "" {
		fs.sb.Type = "tmpfs"
	}
	fs.sb.Source = o.Source
	fs.sb.Dev = vfs.NewDev()
	fs.sb.Magic = Magic
	fs.sb.StatFSFunc = fs.statFS
	fs.sb.ReleaseFunc = fs.release
	fs.sb.Options = o.String()
	if o.Size == 0 && !o.unlimited {
		fs.opts.Size = o.Memory / 2 &^ usermem.PageMask // the default of Linux, which it does not show
	}
	fs.opts.Size = uint64(roundUp(int64(min(fs.opts.Size, 1<<62))))
	fs.quota = pgalloc.NewQuota(fs.opts.Size)
	return fs
}

// String returns the options as /proc/mounts shows them.
func (o *Options) String() string {
	var s []string
	if o.Size > 0 {
		s = append(s, fmt.Sprintf("size=%dk", o.Size>>10))
	}
	if o.Inodes > 0 {
		s = append(s, fmt.Sprintf("nr_inodes=%d", o.Inodes))
	}
	if o.Mode != 0 && o.Mode != 01777 {
		s = append(s, fmt.Sprintf("mode=%o", o.Mode))
	}
	if o.UID != 0 {
		s = append(s, fmt.Sprintf("uid=%d", o.UID))
	}
	if o.GID != 0 {
		s = append(s, fmt.Sprintf("gid=%d", o.GID))
	}
	return strings.Join(s, ",")
}

// ParseOptions reads the data argument of mount(2) as c gives it: IDs are those of its user namespace.
func ParseOptions(c vfs.Caller, data string) (Options, error) {
	ns := c.Creds().UserNS
	o := Options{UID: c.Creds().FSUID, GID: c.Creds().FSGID} // the root belongs to who mounts
	for _, kv := range strings.Split(data, ",") {
		k, v, _ := strings.Cut(kv, "=")
		var err error
		switch k {
		case "":
		case "size":
			if pct, ok := strings.CutSuffix(v, "%"); ok {
				o.Percent, err = strconv.ParseUint(pct, 10, 16)
			} else {
				o.Size, err = parseSize(v)
				o.unlimited = o.Size == 0
			}
		case "nr_blocks":
			o.Size, err = parseSize(v)
			o.Size *= 4096
		case "nr_inodes":
			o.Inodes, err = parseSize(v)
		case "mode":
			var m uint64
			m, err = strconv.ParseUint(v, 8, 32)
			o.Mode = uint32(m) & 07777
		case "uid":
			var n uint64
			n, err = strconv.ParseUint(v, 10, 32)
			var ok bool
			if o.UID, ok = ns.KUID(uint32(n)); !ok {
				err = unix.EINVAL
			}
		case "gid":
			var n uint64
			n, err = strconv.ParseUint(v, 10, 32)
			var ok bool
			if o.GID, ok = ns.KGID(uint32(n)); !ok {
				err = unix.EINVAL
			}
		case "huge", "mpol", "inode32", "inode64", "noswap":
			// They choose where pages come from, which here is settled.
		default:
			return o, fmt.Errorf("tmpfs: unknown option %q: %w", kv, unix.EINVAL)
		}
		if err != nil {
			return o, fmt.Errorf("tmpfs: bad option %q: %w", kv, unix.EINVAL)
		}
	}
	return o, nil
}

// parseSize reads a number with k, m or g behind it.
func parseSize(s string) (uint64, error) {
	shift := 0
	if s != "" {
		switch s[len(s)-1] {
		case 'k', 'K':
			shift = 10
		case 'm', 'M':
			shift = 20
		case 'g', 'G':
			shift = 30
		}
		if shift > 0 {
			s = s[:len(s)-1]
		}
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n << shift, err
}

func (fs *fileSystem) statFS(vfs.Caller) (unix.Statfs_t, error) {
	st := unix.Statfs_t{Type: Magic, Bsize: 4096, Frsize: 4096, Namelen: 255}
	if fs.opts.Size > 0 {
		st.Blocks = fs.opts.Size / 4096
		st.Bfree = st.Blocks - min(st.Blocks, fs.quota.Used()/4096)
		st.Bavail = st.Bfree
	}
	if fs.opts.Inodes > 0 {
		st.Files = fs.opts.Inodes
		st.Ffree = st.Files - min(st.Files, uint64(fs.inodes.Load()))
	}
	return st, nil
}

// release frees every file, once the last mount is gone.
func (fs *fileSystem) release() {
	root := fs.sb.Root().Inode().(*inode)
	root.releaseTree()
}
