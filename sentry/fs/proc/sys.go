package proc

import (
	"crypto/rand"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
	"ringfort/sentry/fs/fsutil"
	"ringfort/sentry/kernel"
	"ringfort/sentry/vfs"
)

// sysctls are the values under /proc/sys that belong to the whole sandbox and that nothing else owns.
type sysctls struct {
	mu     sync.Mutex
	values map[string]string
	bootID string

	loads    [3]float64
	loadTime int64
}

// ofKernel finds the values of a sandbox: several mounts of proc show the same.
var ofKernel sync.Map

func sysctlsOf(k *kernel.Kernel) *sysctls {
	s, _ := ofKernel.LoadOrStore(k, &sysctls{values: map[string]string{}, bootID: newUUID()})
	return s.(*sysctls)
}

// newUUID returns a random UUID (RFC 9562, version 4).
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	b[6], b[8] = b[6]&0xf|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// load moves the averages on to now and returns them: exponential, over 1, 5 and 15 minutes (proc(5)).
func (s *sysctls) load(running int, now int64) [3]float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loadTime != 0 {
		dt := float64(now-s.loadTime) / 1e9
		for i, minutes := range [...]float64{1, 5, 15} {
			keep := math.Exp(-dt / (60 * minutes))
			s.loads[i] = s.loads[i]*keep + float64(running)*(1-keep)
		}
	}
	s.loadTime = now
	return s.loads
}

// knob is a file under /proc/sys: a value kept, checked when it is written.
type knob struct {
	path  string
	value string
	// check says what may be written: nil makes the file read-only.
	check func(s string) bool
}

func number(low, high int64) func(string) bool {
	return func(s string) bool {
		n, err := strconv.ParseInt(s, 0, 64)
		return err == nil && n >= low && n <= high
	}
}

func anything(string) bool { return true }

// numbers accepts a list of exactly n numbers.
func numbers(n int) func(string) bool {
	return func(s string) bool {
		f := strings.Fields(s)
		if len(f) != n {
			return false
		}
		for _, w := range f {
			if _, err := strconv.ParseInt(w, 0, 64); err != nil {
				return false
			}
		}
		return true
	}
}

var flag = number(0, 1)

// knobs are the values kept here. They are told, and some may be set as on Linux; what acts on them says so itself.
var knobs = []knob{
	{"fs/aio-max-nr", "65536", number(0, math.MaxInt32)},
	{"fs/aio-nr", "0", nil},
	{"fs/dentry-state", "0\t0\t45\t0\t0\t0", nil},
	{"fs/epoll/max_user_watches", "3680256", number(0, math.MaxInt32)},
	{"fs/file-max", "9223372036854775807", number(0, math.MaxInt64)},
	{"fs/inode-nr", "0\t0", nil},
	{"fs/inotify/max_queued_events", itoa(vfs.MaxInotifyEvents), number(0, math.MaxInt32)},
	{"fs/inotify/max_user_instances", "128", number(0, math.MaxInt32)},
	{"fs/inotify/max_user_watches", itoa(vfs.MaxInotifyWatches), number(0, math.MaxInt32)},
	{"fs/lease-break-time", "45", number(0, math.MaxInt32)},
	{"fs/leases-enable", "0", nil},
	{"fs/mount-max", "100000", number(1, math.MaxInt32)},
	{"fs/nr_open", "1048576", number(64, 1<<30)},
	{"fs/overflowgid", "65534", nil},
	{"fs/overflowuid", "65534", nil},
	{"fs/pipe-max-size", "1048576", number(4096, 1<<31-1)},
	{"fs/pipe-user-pages-hard", "0", number(0, math.MaxInt32)},
	{"fs/pipe-user-pages-soft", "16384", number(0, math.MaxInt32)},
	{"fs/protected_fifos", "0", number(0, 2)},
	{"fs/protected_hardlinks", "1", nil},
	{"fs/protected_regular", "0", number(0, 2)},
	{"fs/protected_symlinks", "0", nil},
	{"fs/suid_dumpable", "0", number(0, 2)},
	{"kernel/acct", "4\t2\t30", numbers(3)},
	{"kernel/auto_msgmni", "0", flag},
	{"kernel/cap_last_cap", itoa(unix.CAP_LAST_CAP), nil},
	{"kernel/core_pattern", "core", anything},
	{"kernel/core_pipe_limit", "0", number(0, math.MaxInt32)},
	{"kernel/core_uses_pid", "0", flag},
	{"kernel/ctrl-alt-del", "0", flag},
	{"kernel/dmesg_restrict", "1", flag},
	{"kernel/hung_task_timeout_secs", "120", number(0, math.MaxInt32)},
	{"kernel/keys/maxkeys", "200", number(0, math.MaxInt32)},
	{"kernel/keys/maxbytes", "20000", number(0, math.MaxInt32)},
	{"kernel/keys/root_maxkeys", "1000000", number(0, math.MaxInt32)},
	{"kernel/keys/root_maxbytes", "25000000", number(0, math.MaxInt32)},
	{"kernel/kptr_restrict", "1", number(0, 2)},
	{"kernel/modprobe", "/sbin/modprobe", anything},
	{"kernel/ngroups_max", "65536", nil},
	{"kernel/numa_balancing", "0", flag},
	{"kernel/osrelease", "", nil},
	{"kernel/ostype", "Linux", nil},
	{"kernel/overflowgid", "65534", nil},
	{"kernel/overflowuid", "65534", nil},
	{"kernel/panic", "0", number(math.MinInt32, math.MaxInt32)},
	{"kernel/panic_on_oops", "0", flag},
	{"kernel/perf_event_paranoid", "2", number(-1, 4)},
	{"kernel/pid_max", "4194304", number(301, 4194304)},
	{"kernel/printk", "4\t4\t1\t7", numbers(4)},
	{"kernel/printk_ratelimit", "5", number(0, math.MaxInt32)},
	{"kernel/pty/max", "4096", number(0, math.MaxInt32)},
	{"kernel/pty/nr", "0", nil},
	{"kernel/random/entropy_avail", "256", nil},
	{"kernel/random/poolsize", "256", nil},
	{"kernel/random/urandom_min_reseed_secs", "60", number(0, math.MaxInt32)},
	{"kernel/random/write_wakeup_threshold", "256", number(0, math.MaxInt32)},
	{"kernel/randomize_va_space", "2", number(0, 2)},
	{"kernel/sched_autogroup_enabled", "0", flag},
	{"kernel/sched_child_runs_first", "0", flag},
	{"kernel/sched_rr_timeslice_ms", "100", number(0, math.MaxInt32)},
	{"kernel/sched_rt_period_us", "1000000", number(1, math.MaxInt32)},
	{"kernel/sched_rt_runtime_us", "950000", number(-1, math.MaxInt32)},
	{"kernel/seccomp/actions_avail", "kill_process kill_thread trap errno trace log allow", nil},
	{"kernel/seccomp/actions_logged", "kill_process kill_thread trap errno trace log", anything},
	{"kernel/softlockup_panic", "0", flag},
	{"kernel/sysrq", "0", number(0, 511)},
	{"kernel/tainted", "0", nil},
	{"kernel/threads-max", "", number(20, math.MaxInt32)},
	{"kernel/unprivileged_bpf_disabled", "2", number(0, 2)},
	{"kernel/unprivileged_userns_clone", "1", flag},
	{"kernel/version", "", nil},
	{"kernel/watchdog", "0", flag},
	{"kernel/yama/ptrace_scope", "0", number(0, 3)},
	{"net/core/default_qdisc", "noqueue", anything},
	{"net/core/netdev_max_backlog", "1000", number(0, math.MaxInt32)},
	{"net/core/optmem_max", "131072", number(0, math.MaxInt32)},
	{"net/core/rmem_default", "212992", number(2304, math.MaxInt32)},
	{"net/core/rmem_max", "212992", number(2304, math.MaxInt32)},
	{"net/core/somaxconn", "4096", number(0, 65535)},
	{"net/core/wmem_default", "212992", number(4608, math.MaxInt32)},
	{"net/core/wmem_max", "212992", number(4608, math.MaxInt32)},
	{"net/ipv4/conf/all/accept_redirects", "0", flag},
	{"net/ipv4/conf/all/rp_filter", "0", number(0, 2)},
	{"net/ipv4/conf/default/rp_filter", "0", number(0, 2)},
	{"net/ipv4/icmp_echo_ignore_broadcasts", "1", flag},
	{"net/ipv4/ip_default_ttl", "64", number(1, 255)},
	{"net/ipv4/ip_local_reserved_ports", "", anything},
	{"net/ipv4/ip_nonlocal_bind", "0", flag},
	{"net/ipv4/tcp_abort_on_overflow", "0", flag},
	{"net/ipv4/tcp_allowed_congestion_control", "reno cubic", anything},
	{"net/ipv4/tcp_available_congestion_control", "reno cubic", nil},
	{"net/ipv4/tcp_congestion_control", "cubic", anything},
	{"net/ipv4/tcp_ecn", "2", number(0, 2)},
	{"net/ipv4/tcp_fastopen", "0", number(0, math.MaxInt32)},
	{"net/ipv4/tcp_fin_timeout", "60", number(0, math.MaxInt32)},
	{"net/ipv4/tcp_keepalive_intvl", "75", number(1, 32767)},
	{"net/ipv4/tcp_keepalive_probes", "9", number(1, 127)},
	{"net/ipv4/tcp_keepalive_time", "7200", number(1, 32767)},
	{"net/ipv4/tcp_max_syn_backlog", "2048", number(1, math.MaxInt32)},
	{"net/ipv4/tcp_max_tw_buckets", "262144", number(0, math.MaxInt32)},
	{"net/ipv4/tcp_mem", "188889\t251854\t377778", numbers(3)},
	{"net/ipv4/tcp_moderate_rcvbuf", "1", flag},
	{"net/ipv4/tcp_mtu_probing", "0", number(0, 2)},
	{"net/ipv4/tcp_no_metrics_save", "0", flag},
	{"net/ipv4/tcp_retries1", "3", number(0, 255)},
	{"net/ipv4/tcp_retries2", "15", number(0, 255)},
	{"net/ipv4/tcp_rfc1337", "0", flag},
	{"net/ipv4/tcp_rmem", "4096\t131072\t6291456", numbers(3)},
	{"net/ipv4/tcp_sack", "1", flag},
	{"net/ipv4/tcp_slow_start_after_idle", "1", flag},
	{"net/ipv4/tcp_syn_retries", "6", number(1, 127)},
	{"net/ipv4/tcp_synack_retries", "5", number(0, 255)},
	{"net/ipv4/tcp_syncookies", "1", number(0, 2)},
	{"net/ipv4/tcp_timestamps", "1", number(0, 2)},
	{"net/ipv4/tcp_tw_reuse", "2", number(0, 2)},
	{"net/ipv4/tcp_window_scaling", "1", flag},
	{"net/ipv4/tcp_wmem", "4096\t16384\t4194304", numbers(3)},
	{"net/ipv4/udp_mem", "377778\t503708\t755556", numbers(3)},
	{"net/ipv6/bindv6only", "0", flag},
	{"net/ipv6/conf/all/accept_ra", "1", number(0, 2)},
	{"net/ipv6/conf/all/disable_ipv6", "0", flag},
	{"net/ipv6/conf/default/disable_ipv6", "0", flag},
	{"net/ipv6/conf/lo/disable_ipv6", "0", flag},
	{"net/netfilter/nf_conntrack_max", "262144", number(0, math.MaxInt32)},
	{"net/unix/max_dgram_qlen", "512", number(0, math.MaxInt32)},
	{"user/max_cgroup_namespaces", "62999", number(0, math.MaxInt32)},
	{"user/max_inotify_instances", "128", number(0, math.MaxInt32)},
	{"user/max_inotify_watches", itoa(vfs.MaxInotifyWatches), number(0, math.MaxInt32)},
	{"user/max_ipc_namespaces", "62999", number(0, math.MaxInt32)},
	{"user/max_mnt_namespaces", "62999", number(0, math.MaxInt32)},
	{"user/max_net_namespaces", "62999", number(0, math.MaxInt32)},
	{"user/max_pid_namespaces", "62999", number(0, math.MaxInt32)},
	{"user/max_time_namespaces", "0", nil},
	{"user/max_user_namespaces", "62999", number(0, math.MaxInt32)},
	{"user/max_uts_namespaces", "62999", number(0, math.MaxInt32)},
	{"vm/admin_reserve_kbytes", "8192", number(0, math.MaxInt64)},
	{"vm/compact_memory", "0", number(1, 1)},
	{"vm/dirty_background_ratio", "10", number(0, 100)},
	{"vm/dirty_background_bytes", "0", number(0, math.MaxInt64)},
	{"vm/dirty_bytes", "0", number(0, math.MaxInt64)},
	{"vm/dirty_expire_centisecs", "3000", number(0, math.MaxInt32)},
	{"vm/dirty_ratio", "20", number(0, 100)},
	{"vm/dirty_writeback_centisecs", "500", number(0, math.MaxInt32)},
	{"vm/drop_caches", "0", number(0, 4)},
	{"vm/hugetlb_shm_group", "0", number(0, math.MaxInt32)},
	{"vm/laptop_mode", "0", number(0, math.MaxInt32)},
	{"vm/legacy_va_layout", "0", flag},
	{"vm/max_map_count", "65530", number(0, math.MaxInt32)},
	{"vm/min_free_kbytes", "67584", number(0, math.MaxInt32)},
	{"vm/mmap_min_addr", "65536", nil},
	{"vm/mmap_rnd_bits", "28", nil},
	{"vm/nr_hugepages", "0", nil},
	{"vm/nr_overcommit_hugepages", "0", nil},
	{"vm/oom_dump_tasks", "1", flag},
	{"vm/oom_kill_allocating_task", "0", flag},
	{"vm/overcommit_kbytes", "0", number(0, math.MaxInt64)},
	{"vm/overcommit_memory", "1", number(0, 2)},
	{"vm/overcommit_ratio", "50", number(0, math.MaxInt32)},
	{"vm/page-cluster", "3", number(0, 31)},
	{"vm/panic_on_oom", "0", number(0, 2)},
	{"vm/swappiness", "60", number(0, 200)},
	{"vm/unprivileged_userfaultfd", "0", flag},
	{"vm/user_reserve_kbytes", "131072", number(0, math.MaxInt64)},
	{"vm/vfs_cache_pressure", "100", number(0, math.MaxInt32)},
	{"vm/zone_reclaim_mode", "0", number(0, 7)},
}

// sysDir makes /proc/sys.
func (p *procFS) sysDir() *fsutil.Dir {
	root := p.NewDir(nil, 0555)
	for i := range knobs {
		k := &knobs[i]
		p.addAt(root, k.path, p.knobFile(k))
	}
	for path, f := range p.live() {
		p.addAt(root, path, f)
	}
	root.Add("debug", p.NewDir(nil, 0555)).Add("dev", p.NewDir(nil, 0555))
	return root
}

// addAt adds a file at a path below root, making directories.
func (p *procFS) addAt(root *fsutil.Dir, path string, f vfs.Inode) {
	parts := strings.Split(path, "/")
	d := root
	for _, name := range parts[:len(parts)-1] {
		sub, _ := d.Get(name).(*fsutil.Dir)
		if sub == nil {
			sub = p.NewDir(nil, 0555)
			d.Add(name, sub)
		}
		d = sub
	}
	d.Add(parts[len(parts)-1], f)
}

func (p *procFS) knobFile(k *knob) *fsutil.Text {
	perm := uint32(0444)
	if k.check != nil {
		perm = 0644
	}
	f := p.NewText(nil, perm, func(vfs.Caller) (string, error) {
		p.sys.mu.Lock()
		v, ok := p.sys.values[k.path]
		p.sys.mu.Unlock()
		if !ok {
			v = p.initial(k)
		}
		return v + "\n", nil
	})
	if k.check != nil {
		f.Put = func(_ vfs.Caller, s string) error {
			s = trim(s)
			if !k.check(s) {
				return unix.EINVAL
			}
			p.sys.mu.Lock()
			p.sys.values[k.path] = strings.Join(strings.Fields(s), "\t")
			p.sys.mu.Unlock()
			return nil
		}
	}
	return f
}

// initial is a knob's first value.
func (p *procFS) initial(k *knob) string {
	switch k.path {
	case "kernel/osrelease":
		return p.id.Release
	case "kernel/version":
		return p.id.Version
	case "kernel/threads-max":
		return itoa(p.k.MaxTasks())
	}
	return k.value
}

// live are the files whose values others own.
func (p *procFS) live() map[string]*fsutil.Text {
	files := map[string]*fsutil.Text{
		"kernel/hostname":   p.utsFile(true),
		"kernel/domainname": p.utsFile(false),
		"kernel/random/uuid": p.NewText(nil, 0444, func(vfs.Caller) (string, error) {
			return newUUID() + "\n", nil
		}),
		"kernel/random/boot_id": p.NewText(nil, 0444, func(vfs.Caller) (string, error) {
			return p.sys.bootID + "\n", nil
		}),
		"kernel/ns_last_pid": p.NewText(nil, 0444, func(vfs.Caller) (string, error) {
			return itoa(p.ns.LastPID()) + "\n", nil
		}),
		"fs/file-nr": p.NewText(nil, 0444, func(vfs.Caller) (string, error) {
			n := 0
			for _, tg := range p.k.RootPIDNS().ThreadGroups() {
				if tab := tg.Leader().FDs(); tab != nil {
					n += len(tab.FDs())
				}
			}
			return fmt.Sprintf("%d\t0\t9223372036854775807\n", n), nil
		}),
	}
	for path, f := range p.netKnobs() {
		files[path] = f
	}
	for path, f := range p.ipcKnobs() {
		files[path] = f
	}
	return files
}

// utsFile is the host or domain name of the reader's UTS namespace.
func (p *procFS) utsFile(host bool) *fsutil.Text {
	uts := func(c vfs.Caller) *kernel.UTSNamespace {
		if n := kernel.UTSNamespaceOf(c); n != nil {
			return n
		}
		return p.k.RootUTSNS()
	}
	f := p.NewText(nil, 0644, func(c vfs.Caller) (string, error) {
		h, d := uts(c).Names()
		if host {
			return h + "\n", nil
		}
		return d + "\n", nil
	})
	f.Put = func(c vfs.Caller, s string) error {
		ns := uts(c)
		if c != nil && !c.Creds().HasCapIn(unix.CAP_SYS_ADMIN, ns.UserNS()) {
			return unix.EPERM
		}
		if s = trim(s); len(s) > 64 {
			s = s[:64]
		}
		if host {
			ns.SetHost(s)
		} else {
			ns.SetDomain(s)
		}
		return nil
	}
	return f
}
