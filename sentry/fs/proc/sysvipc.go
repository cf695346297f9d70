package proc

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"ringfort/sentry/auth"
	"ringfort/sentry/fs/fsutil"
	"ringfort/sentry/fs/mqueue"
	"ringfort/sentry/ipc"
	"ringfort/sentry/kernel"
	"ringfort/sentry/vfs"
)

// ipcOf is the IPC namespace of a reader.
func (p *procFS) ipcOf(c vfs.Caller) *kernel.IPCNamespace {
	if n := kernel.IPCNamespaceOf(c); n != nil {
		return n
	}
	return p.k.RootIPCNS()
}

// viewer translates identities to those a reader knows.
type viewer struct {
	users *auth.UserNamespace
	pids  *kernel.PIDNamespace
}

func (p *procFS) viewer(c vfs.Caller) viewer {
	v := viewer{p.k.RootUserNS(), p.ns}
	if c != nil {
		v.users = c.Creds().UserNS
	}
	return v
}

func (v viewer) pid(process any) int32 {
	n, _ := process.(*kernel.PID)
	return n.In(v.pids)
}

// owners are the four columns of owner and creator.
func (v viewer) owners(q ipc.Perm) string {
	return fmt.Sprintf("%5d %5d %5d %5d", v.users.UID(q.UID), v.users.GID(q.GID), v.users.UID(q.CUID), v.users.GID(q.CGID))
}

// sysvipc is /proc/sysvipc: the System V objects of the reader's IPC namespace (proc_sysvipc(5)).
func (p *procFS) sysvipc() *fsutil.Dir {
	d := p.NewDir(nil, 0555)
	for _, f := range [...]struct {
		name, header string
		rows         func(n *kernel.IPCNamespace, v viewer) string
	}{
		{"msg", "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      ctime\n", msgRows},
		{"sem", "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n", semRows},
		{"shm", "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n", shmRows},
	} {
		d.Add(f.name, p.NewText(nil, 0444, func(c vfs.Caller) (string, error) {
			return f.header + f.rows(p.ipcOf(c), p.viewer(c)), nil
		}))
	}
	return d
}

func msgRows(n *kernel.IPCNamespace, v viewer) string {
	var b strings.Builder
	for _, q := range n.MsgList() {
		fmt.Fprintf(&b, "%10d %10d  %4o  %10d %10d %5d %5d %s %10d %10d %10d\n", q.Perm.Key, q.Perm.ID, q.Perm.Mode, q.Bytes, q.Count,
			v.pid(q.LastSend), v.pid(q.LastReceive), v.owners(q.Perm), q.SendTime, q.ReceiveTime, q.ChangeTime)
	}
	return b.String()
}

func semRows(n *kernel.IPCNamespace, v viewer) string {
	var b strings.Builder
	for _, s := range n.SemList() {
		fmt.Fprintf(&b, "%10d %10d  %4o %10d %s %10d %10d\n", s.Perm.Key, s.Perm.ID, s.Perm.Mode, s.Count, v.owners(s.Perm), s.OpTime, s.ChangeTime)
	}
	return b.String()
}

func shmRows(n *kernel.IPCNamespace, v viewer) string {
	var b strings.Builder
	for _, s := range n.ShmList() {
		fmt.Fprintf(&b, "%10d %10d  %4o %21d %5d %5d  %5d %s %10d %10d %10d %21d %21d\n", s.Perm.Key, s.Perm.ID, s.Perm.Mode, s.Size,
			v.pid(s.Creator), v.pid(s.Last), s.Attached, v.owners(s.Perm), s.AttachTime, s.DetachTime, s.ChangeTime, s.Used, 0)
	}
	return b.String()
}

// ipcKnobs are the limits of the reader's IPC namespace (proc_sys_kernel(5)).
func (p *procFS) ipcKnobs() map[string]*fsutil.Text {
	files := map[string]*fsutil.Text{}
	number := func(path string, low, high uint64, get func(l *ipc.Limits) uint64, set func(l *ipc.Limits, v uint64)) {
		f := p.NewText(nil, 0644, func(c vfs.Caller) (string, error) {
			l := p.ipcOf(c).Limits()
			return strconv.FormatUint(get(&l), 10) + "\n", nil
		})
		f.Put = func(c vfs.Caller, s string) error {
			v, err := strconv.ParseUint(trim(s), 0, 64)
			if err != nil || v < low || v > high {
				return unix.EINVAL
			}
			p.ipcOf(c).Change(func(l *ipc.Limits) { set(l, v) })
			return nil
		}
		files["kernel/"+path] = f
	}
	const most = 32768 // IPCMNI: identifiers of a kind
	number("shmmax", 0, math.MaxUint64, func(l *ipc.Limits) uint64 { return l.ShmMax }, func(l *ipc.Limits, v uint64) { l.ShmMax = v })
	number("shmall", 0, math.MaxUint64, func(l *ipc.Limits) uint64 { return l.ShmAll }, func(l *ipc.Limits, v uint64) { l.ShmAll = v })
	number("shm_rmid_forced", 0, 1, func(l *ipc.Limits) uint64 {
		if l.ShmRmidForced {
			return 1
		}
		return 0
	}, func(l *ipc.Limits, v uint64) { l.ShmRmidForced = v == 1 })
	for _, k := range [...]struct {
		name string
		high uint64
		at   func(l *ipc.Limits) *int32
	}{
		{"shmmni", most, func(l *ipc.Limits) *int32 { return &l.ShmMni }},
		{"msgmax", math.MaxInt32, func(l *ipc.Limits) *int32 { return &l.MsgMax }},
		{"msgmnb", math.MaxInt32, func(l *ipc.Limits) *int32 { return &l.MsgMnb }},
		{"msgmni", most, func(l *ipc.Limits) *int32 { return &l.MsgMni }},
	} {
		number(k.name, 0, k.high, func(l *ipc.Limits) uint64 { return uint64(*k.at(l)) }, func(l *ipc.Limits, v uint64) { *k.at(l) = int32(v) })
	}
	files["kernel/sem"] = p.semKnob(most)
	for path, f := range p.mqueueKnobs() {
		files[path] = f
	}
	return files
}

// semKnob is /proc/sys/kernel/sem: four limits in one line, of which the first few may be written.
func (p *procFS) semKnob(most int64) *fsutil.Text {
	f := p.NewText(nil, 0644, func(c vfs.Caller) (string, error) {
		l := p.ipcOf(c).Limits()
		return fmt.Sprintf("%d\t%d\t%d\t%d\n", l.SemMsl, l.SemMns, l.SemOpm, l.SemMni), nil
	})
	f.Put = func(c vfs.Caller, s string) error {
		words := strings.Fields(s)
		if len(words) == 0 || len(words) > 4 {
			return unix.EINVAL
		}
		high := [...]int64{math.MaxInt32, math.MaxInt32, math.MaxInt32, most}
		var vals [4]int32
		for i, w := range words {
			v, err := strconv.ParseInt(w, 0, 64)
			if err != nil || v < 0 || v > high[i] {
				return unix.EINVAL
			}
			vals[i] = int32(v)
		}
		p.ipcOf(c).Change(func(l *ipc.Limits) {
			at := [...]*int32{&l.SemMsl, &l.SemMns, &l.SemOpm, &l.SemMni}
			for i := range words {
				*at[i] = vals[i]
			}
		})
		return nil
	}
	return f
}

// mqueueKnobs are the limits of POSIX message queues (mq_overview(7)).
func (p *procFS) mqueueKnobs() map[string]*fsutil.Text {
	files := map[string]*fsutil.Text{}
	for _, k := range [...]struct {
		name      string
		low, high int64
		at        func(l *mqueue.Limits) *int32
	}{
		{"queues_max", 0, math.MaxInt32, func(l *mqueue.Limits) *int32 { return &l.QueuesMax }},
		{"msg_max", 1, mqueue.HardMsgMax, func(l *mqueue.Limits) *int32 { return &l.MsgMax }},
		{"msg_default", 1, mqueue.HardMsgMax, func(l *mqueue.Limits) *int32 { return &l.MsgDefault }},
		{"msgsize_max", 128, mqueue.HardMsgSizeMax, func(l *mqueue.Limits) *int32 { return &l.MsgSizeMax }},
		{"msgsize_default", 128, mqueue.HardMsgSizeMax, func(l *mqueue.Limits) *int32 { return &l.MsgSizeDefault }},
	} {
		f := p.NewText(nil, 0644, func(c vfs.Caller) (string, error) {
			l := p.ipcOf(c).MQ().Limits()
			return itoa(*k.at(&l)) + "\n", nil
		})
		f.Put = func(c vfs.Caller, s string) error {
			v, err := strconv.ParseInt(trim(s), 0, 64)
			if err != nil || v < k.low || v > k.high {
				return unix.EINVAL
			}
			p.ipcOf(c).MQ().Change(func(l *mqueue.Limits) { *k.at(l) = int32(v) })
			return nil
		}
		files["fs/mqueue/"+k.name] = f
	}
	return files
}
