package wire

// Versions offered in Tversion. The extended one adds the messages numbered from TWalkAttr on.
const (
	Version9P  = "9P2000.L"
	VersionExt = "9P2000.L.Ringfort.4"
)

// Message numbers of 9P2000 (intro(5)) and 9P2000.L (diod's protocol.md). An R message is its T message plus one.
const (
	RLError   = 7
	TStatfs   = 8
	TLopen    = 12
	TLcreate  = 14
	TSymlink  = 16
	TMknod    = 18
	TReadlink = 22
	TGetattr  = 24
	TSetattr  = 26
	TReaddir  = 40
	TFsync    = 50
	TLink     = 70
	TMkdir    = 72
	TRenameat = 74
	TUnlinkat = 76
	TVersion  = 100
	TAttach   = 104
	TFlush    = 108
	TWalk     = 110
	TRead     = 116
	TWrite    = 118
	TClunk    = 120
)

// Extension messages, valid once VersionExt was agreed.
//
//	TWalkAttr    fid[4] open[4] nname[2] nname*(newfid[4] name[s])
//	RWalkAttr    errno[4] n[2] n*(attr, and target[s] where the attr is a symbolic link's)
//	             With no names: one attr, of fid itself. Each file reached gets its newfid, unless that is NoFID.
//	             The walk stops before the first name that fails (errno says why) and after the first symbolic link.
//	             If all were walked, the last is a regular file and open is not NoOpen, it is opened with these
//	             flags and the descriptor donated; a failure to open is in errno.
//	TMake        dir[4] newfid[4] name[s] mode[4] uid[4] gid[4] rdev[8] target[s] open[4] after[1]
//	RMake        attr; makes a file of any type exclusively; regular files are opened and donated if open says so.
//	             If after is 1 the directory's attr follows, as it is then; all zero if it could not be read.
//	TOpenFD      fid[4] flags[4]
//	ROpenFD      (empty), descriptor donated. Regular files only.
//	TChange     fid[4] valid[4] mode[4] uid[4] gid[4] size[8] asec[8] ansec[8] msec[8] mnsec[8]
//	RChange     attr afterwards
//	TReaddirAttr fid[4] offset[8] count[4]
//	RReaddirAttr state[1] n[4] n*entry; "." and ".." are left out.
//	             entry: offset[8] name[s] kind[1], then, kind being 0, attr and, of a symbolic link, target[s] (empty:
//	             not told), else ino[8] alone, the type being kind (DT_...). A kind of EntryOpen is as 0, and the next
//	             descriptor of the packet is that of the file. state: ListEnd and ListPartial.
//	TRename      olddir[4] oldname[s] newdir[4] newname[s] flags[4] after[1]
//	RRename      (empty), or if after is 1 newdir's attr as in RMake
//	TGetXattr    fid[4] name[s]                   R: value[n4]
//	TSetXattr    fid[4] name[s] flags[4] value[n4]
//	TListXattr   fid[4]                           R: names[n4], each ended by NUL
//	TRemoveXattr fid[4] name[s]
//	TForget      n[2] n*fid[4]; has no reply. Unknown fids are ignored.
//	TAllocate    fid[4] mode[4] offset[8] length[8]
//	TList        dir[4] newfid[4] path[s] count[4] flags[1] nmore[2] nmore*path[s]
//	RList        dev[8] ino[8] state[1] n[4] n*entry, then while any are left dirno[4] n[4] n*entry
//	             The entries of the directory path below dir, which gets newfid unless that is NoFID (no path: of dir
//	             itself), from the start. With ListBare entries that are no directories come without attributes, with
//	             ListNames all do, and with no type or number that means anything.
//	             With ListDeep, if ListEnd, whole directories follow as far as count bytes go: those below it, each
//	             parent before its children, then those of the further paths below dir, and those below them. dirno
//	             says which: from 1 to nmore the further paths, from then on the entries of the reply that are
//	             directories, in its order.
//	             With ListOpen as well, regular files that are not empty are opened for reading, MaxListOpen at most,
//	             where the server can do so without opening anything else (else none are): their descriptors are
//	             donated in one packet, and once there are as many no more directories follow.
//	TOpenMany    dir[4] npath[2] npath*path[s]
//	ROpenMany    n[2] n*(errno[4] dev[8] ino[8]), descriptors donated in one packet
//	             Opens regular files below a directory for reading: of each path an errno or, that being 0, the
//	             file's identity and the next descriptor of the packet.
//	             A path is names with single slashes between; nothing on it may be a link.
//	TConnect     fid[4] type[4]                   R: nothing, donates a socket of that type connected to a unix socket
//	TListen      (empty)
//	RListen      (empty), donates a listener of seccomp notifications (seccomp_unotify(2)). From then on the server, which
//	             reads and sends nothing meanwhile, sleeps in one when it has handled all it has read, or cannot send.
//	             Its first argument is how many bytes of requests it has read since the connection began, the second
//	             is not 0 if it cannot send. It goes on when the notification is answered, with whatever. When the
//	             listener is closed it does as before.
const (
	TWalkAttr    = 0xa0
	TMake        = 0xa2
	TOpenFD      = 0xa4
	TChange      = 0xa6
	TReaddirAttr = 0xa8
	TRename      = 0xaa
	TGetXattr    = 0xac
	TSetXattr    = 0xae
	TListXattr   = 0xb0
	TRemoveXattr = 0xb2
	TForget      = 0xb4
	TAllocate    = 0xb6
	TList        = 0xb8
	TOpenMany    = 0xba
	TConnect     = 0xbc
	TListen      = 0xbe

	// Donated is added to the type of a reply whose descriptor (of ROpenMany: descriptors) was sent, before the
	// reply, on the descriptor socket as one packet holding the reply's tag[2].
	Donated = 0x40
)

// EntryOpen is the kind of a directory entry that comes with a descriptor; it is no DT_... value.
const EntryOpen = 0x80

// Flags of TList, and the state of a listing.
const (
	ListDeep    = 1
	ListBare    = 2
	ListNames   = 4
	ListOpen    = 8
	ListEnd     = 1 // the last entry there is, is among these
	ListPartial = 2 // one whose attributes could not be read was left out
)

// Reserved values and limits.
const (
	NoTag  = 0xffff     // intro(5): the tag of Tversion
	NoFID  = 0xffffffff // intro(5): no fid
	NoOpen = 0xffffffff // TWalkAttr and TMake: do not open

	HeaderSize  = 7
	MaxName     = 255       // NAME_MAX
	MaxTarget   = 4095      // PATH_MAX without its NUL
	MaxWalk     = 128       // names of one walk
	MaxOpenMany = 64        // paths of one TOpenMany
	MaxMore     = 256       // further paths of one TList
	MaxListOpen = 120       // files opened by one TList: a millisecond; a packet has 253 at most (SCM_MAX_FD)
	MaxXattr    = 64 << 10  // XATTR_SIZE_MAX
	MessageSize = 256 << 10 // largest message, header included
	MaxFIDs     = 1 << 16   // of one connection
)

// Bits of Tsetattr's valid word (9P2000.L).
const (
	SetMode     = 0x1
	SetUID      = 0x2
	SetGID      = 0x4
	SetSize     = 0x8
	SetATime    = 0x10
	SetMTime    = 0x20
	SetCTime    = 0x40
	SetATimeVal = 0x80 // to the value given, not to now
	SetMTimeVal = 0x100
)

// Time is seconds and nanoseconds since 1970, nanoseconds below 1e9.
type Time struct {
	Sec  int64
	Nsec uint32
}

// Attr is what statx(2) tells of a file. Mode holds type and permission bits; Dev and Rdev are in dev_t encoding.
type Attr struct {
	Mode, UID, GID, Nlink uint32
	BlockSize             uint32
	Ino, Dev, Rdev        uint64
	Size, Blocks          uint64 // Blocks of 512 bytes
	ATime, MTime, CTime   Time
	BTime                 Time // zero where the host file system does not know it
}

// QID is 9P's identity of a file: type bits (QTDir…), version, and path, unique in the server.
type QID struct {
	Type    uint8
	Version uint32
	Path    uint64
}

// QID type bits (stat(5) of Plan 9).
const (
	QTDir     = 0x80
	QTSymlink = 0x02
)
