package syscalls

import "golang.org/x/sys/unix"

// refusedCalls are calls that are known and deliberately not there, or not yet.
var refusedCalls = refuse(unix.ENOSYS, "not implemented", map[uintptr]string{
	unix.SYS_PTRACE: "ptrace", unix.SYS_PERF_EVENT_OPEN: "perf_event_open", unix.SYS_BPF: "bpf", unix.SYS_USERFAULTFD: "userfaultfd",
	unix.SYS_IO_SETUP: "io_setup", unix.SYS_IO_DESTROY: "io_destroy", unix.SYS_IO_SUBMIT: "io_submit", unix.SYS_IO_CANCEL: "io_cancel",
	unix.SYS_IO_GETEVENTS: "io_getevents", unix.SYS_IO_PGETEVENTS: "io_pgetevents", unix.SYS_IO_URING_SETUP: "io_uring_setup",
	unix.SYS_IO_URING_ENTER: "io_uring_enter", unix.SYS_IO_URING_REGISTER: "io_uring_register",
	unix.SYS_LANDLOCK_CREATE_RULESET: "landlock_create_ruleset", unix.SYS_LANDLOCK_ADD_RULE: "landlock_add_rule",
	unix.SYS_LANDLOCK_RESTRICT_SELF: "landlock_restrict_self", unix.SYS_ADD_KEY: "add_key", unix.SYS_REQUEST_KEY: "request_key",
	unix.SYS_KEYCTL: "keyctl", unix.SYS_PROCESS_MADVISE: "process_madvise", unix.SYS_PROCESS_MRELEASE: "process_mrelease",
	unix.SYS_FANOTIFY_INIT: "fanotify_init", unix.SYS_FANOTIFY_MARK: "fanotify_mark", unix.SYS_QUOTACTL: "quotactl",
	unix.SYS_QUOTACTL_FD: "quotactl_fd", unix.SYS_FUTEX_WAITV: "futex_waitv", unix.SYS_PKEY_MPROTECT: "pkey_mprotect",
	unix.SYS_PKEY_ALLOC: "pkey_alloc", unix.SYS_PKEY_FREE: "pkey_free", unix.SYS_REMAP_FILE_PAGES: "remap_file_pages",
	unix.SYS_MEMFD_SECRET: "memfd_secret", unix.SYS_MBIND: "mbind", unix.SYS_GET_MEMPOLICY: "get_mempolicy",
	unix.SYS_SET_MEMPOLICY: "set_mempolicy", unix.SYS_SET_MEMPOLICY_HOME_NODE: "set_mempolicy_home_node",
	unix.SYS_MIGRATE_PAGES: "migrate_pages", unix.SYS_MOVE_PAGES: "move_pages",
	unix.SYS_NAME_TO_HANDLE_AT: "name_to_handle_at", unix.SYS_OPEN_BY_HANDLE_AT: "open_by_handle_at",
	unix.SYS_SYSFS: "sysfs", unix.SYS_USTAT: "ustat", unix.SYS_LOOKUP_DCOOKIE: "lookup_dcookie", unix.SYS_MODIFY_LDT: "modify_ldt",
	unix.SYS__SYSCTL: "_sysctl", unix.SYS_USELIB: "uselib", unix.SYS_NFSSERVCTL: "nfsservctl", unix.SYS_VSERVER: "vserver",
	unix.SYS_SET_THREAD_AREA: "set_thread_area", unix.SYS_GET_THREAD_AREA: "get_thread_area",
	unix.SYS_EPOLL_CTL_OLD: "epoll_ctl_old", unix.SYS_EPOLL_WAIT_OLD: "epoll_wait_old",
	unix.SYS_CREATE_MODULE: "create_module", unix.SYS_GET_KERNEL_SYMS: "get_kernel_syms", unix.SYS_QUERY_MODULE: "query_module",
	unix.SYS_GETPMSG: "getpmsg", unix.SYS_PUTPMSG: "putpmsg", unix.SYS_AFS_SYSCALL: "afs_syscall", unix.SYS_TUXCALL: "tuxcall",
	unix.SYS_SECURITY: "security",
}, refuse(unix.EPERM, "privileged, and never allowed in a sandbox", map[uintptr]string{
	unix.SYS_KEXEC_LOAD: "kexec_load", unix.SYS_KEXEC_FILE_LOAD: "kexec_file_load", unix.SYS_INIT_MODULE: "init_module",
	unix.SYS_FINIT_MODULE: "finit_module", unix.SYS_DELETE_MODULE: "delete_module", unix.SYS_IOPL: "iopl", unix.SYS_IOPERM: "ioperm",
	unix.SYS_SWAPON: "swapon", unix.SYS_SWAPOFF: "swapoff", unix.SYS_ACCT: "acct",
})...)

// refuse returns rows of calls that fail with errno, and more behind them.
func refuse(errno unix.Errno, note string, calls map[uintptr]string, more ...Call) []Call {
	for nr, name := range calls {
		more = append(more, Call{Nr: nr, Name: name, Level: Refused, Errno: errno, Note: note})
	}
	return more
}
