package kernel

import (
	"sort"
	"sync"

	"ringfort/sentry/auth"
)

// pidLimit is kernel.pid_max: IDs are below it.
const pidLimit = 32768

// PIDNamespace is a PID namespace (pid_namespaces(7)): the IDs of the tasks,
// process groups and sessions visible in it.
type PIDNamespace struct {
	parent *PIDNamespace
	userNS *auth.UserNamespace
	level  int
	inode  uint64

	mu     sync.RWMutex
	tasks  map[int32]*Task
	groups map[int32]*ProcessGroup
	sess   map[int32]*Session
	last   int32
	init   *ThreadGroup // reaper of orphans, nil before the first process
	dead   bool         // init has exited: no new tasks
}

func newPIDNamespace(parent *PIDNamespace, u *auth.UserNamespace) *PIDNamespace {
	ns := &PIDNamespace{
		parent: parent, userNS: u, inode: 0xEFFFFFFC,
		tasks: map[int32]*Task{}, groups: map[int32]*ProcessGroup{}, sess: map[int32]*Session{},
	}
	if parent != nil {
		ns.level = parent.level + 1
	}
	return ns
}

// Parent returns the parent namespace, nil for the root.
func (ns *PIDNamespace) Parent() *PIDNamespace { return ns.parent }

// IsAncestorOf reports whether ns is d or an ancestor of d.
func (ns *PIDNamespace) IsAncestorOf(d *PIDNamespace) bool {
	for ; d != nil; d = d.parent {
		if d == ns {
			return true
		}
	}
	return false
}

// UserNS returns the user namespace that owns ns.
func (ns *PIDNamespace) UserNS() *auth.UserNamespace { return ns.userNS }

// Inode returns the number /proc/PID/ns/pid shows.
func (ns *PIDNamespace) Inode() uint64 { return ns.inode }

// allocate gives t the next free ID in ns; false if there is none.
func (ns *PIDNamespace) allocate(t *Task, want int32) (int32, bool) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if ns.dead {
		return 0, false
	}
	used := func(id int32) bool {
		return ns.tasks[id] != nil || ns.groups[id] != nil || ns.sess[id] != nil
	}
	if want != 0 {
		if used(want) {
			return 0, false
		}
		ns.tasks[want] = t
		return want, true
	}
	for range pidLimit {
		ns.last++
		if ns.last >= pidLimit {
			ns.last = 300 // as Linux: low IDs are not handed out again
		}
		if !used(ns.last) {
			ns.tasks[ns.last] = t
			return ns.last, true
		}
	}
	return 0, false
}

func (ns *PIDNamespace) free(id int32) {
	ns.mu.Lock()
	delete(ns.tasks, id)
	ns.mu.Unlock()
}

// LastPID returns the ID handed out last (/proc/loadavg).
func (ns *PIDNamespace) LastPID() int32 {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	return ns.last
}

// TaskWithID returns the task called id in ns, or nil.
func (ns *PIDNamespace) TaskWithID(id int32) *Task {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	return ns.tasks[id]
}

// ThreadGroupWithID returns the thread group whose leader is called id in ns, or nil.
func (ns *PIDNamespace) ThreadGroupWithID(id int32) *ThreadGroup {
	if t := ns.TaskWithID(id); t != nil && t.isLeader() {
		return t.tg
	}
	return nil
}

// ProcessGroupWithID returns the process group called id in ns, or nil.
func (ns *PIDNamespace) ProcessGroupWithID(id int32) *ProcessGroup {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	return ns.groups[id]
}

// Tasks returns all tasks in ns by ascending ID.
func (ns *PIDNamespace) Tasks() []*Task {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	ids := make([]int32, 0, len(ns.tasks))
	for id := range ns.tasks {
		ids = append(ids, id)
	}
	sort.Slice(ids, func(i, j int) bool { return ids[i] < ids[j] })
	list := make([]*Task, len(ids))
	for i, id := range ids {
		list[i] = ns.tasks[id]
	}
	return list
}

// ThreadGroups returns all thread groups in ns by ascending ID.
func (ns *PIDNamespace) ThreadGroups() (list []*ThreadGroup) {
	for _, t := range ns.Tasks() {
		if t.isLeader() {
			list = append(list, t.tg)
		}
	}
	return list
}

// IDOfTask returns what t is called in ns, 0 if it is not visible there.
func (ns *PIDNamespace) IDOfTask(t *Task) int32 {
	if t == nil {
		return 0
	}
	return t.idIn(ns)
}

// IDOfThreadGroup returns what tg is called in ns, 0 if it is not visible there.
func (ns *PIDNamespace) IDOfThreadGroup(tg *ThreadGroup) int32 {
	if tg == nil {
		return 0
	}
	return ns.IDOfTask(tg.Leader())
}

// IDOfProcessGroup returns what pg is called in ns, 0 if it is not visible there.
func (ns *PIDNamespace) IDOfProcessGroup(pg *ProcessGroup) int32 {
	if pg == nil {
		return 0
	}
	return pg.ids.in(ns)
}

// IDOfSession returns what s is called in ns, 0 if it is not visible there.
func (ns *PIDNamespace) IDOfSession(s *Session) int32 {
	if s == nil {
		return 0
	}
	return s.ids.in(ns)
}

// ids are the IDs of one thing in a namespace and its ancestors.
type ids []nsID

type nsID struct {
	ns *PIDNamespace
	id int32
}

func (l ids) in(ns *PIDNamespace) int32 {
	for _, e := range l {
		if e.ns == ns {
			return e.id
		}
	}
	return 0
}

// LevelIDs are the IDs of a task in a namespace and those below it down to the
// task's own, outermost first.
type LevelIDs struct{ TGID, PID, PGID, SID []int32 }

// LevelIDs returns the IDs of t from ns down (/proc/PID/status, NSpid).
func (t *Task) LevelIDs(ns *PIDNamespace) (l LevelIDs) {
	t.k.tree.RLock()
	defer t.k.tree.RUnlock()
	leader, group := t.tg.Leader(), t.tg.group
	for i := len(t.ids) - 1; i >= 0; i-- {
		at := t.ids[i].ns
		if !ns.IsAncestorOf(at) {
			continue
		}
		l.PID, l.TGID = append(l.PID, t.ids[i].id), append(l.TGID, leader.idIn(at))
		pgid, sid := int32(0), int32(0)
		if group != nil {
			pgid, sid = group.ids.in(at), group.session.ids.in(at)
		}
		l.PGID, l.SID = append(l.PGID, pgid), append(l.SID, sid)
	}
	return l
}

// Children returns the children t has cloned, or inherited, itself
// (/proc/PID/task/TID/children).
func (t *Task) Children() (list []*ThreadGroup) {
	t.k.tree.RLock()
	defer t.k.tree.RUnlock()
	for _, c := range t.tg.children {
		if c.parentTask == t {
			list = append(list, c)
		}
	}
	return list
}
