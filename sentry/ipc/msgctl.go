package ipc

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/wait"
)

// MsgStat is a queue as msgctl(2) shows it.
type MsgStat struct {
	Perm                              Perm
	SendTime, ReceiveTime, ChangeTime int64
	Bytes, Count, MaxBytes            uint64
	LastSend, LastReceive             any
}

func (q *Queue) stat() MsgStat {
	return MsgStat{
		Perm: q.perm(), SendTime: q.sendTime, ReceiveTime: q.rcvTime, ChangeTime: q.changeTime,
		Bytes: q.bytes, Count: q.count, MaxBytes: q.max, LastSend: q.lastSend, LastReceive: q.lastRcv,
	}
}

// MsgStat returns a queue's state, found by index if byIndex; anybody may ask if any.
func (n *Namespace) MsgStat(c Caller, id int32, byIndex, any bool) (MsgStat, error) {
	find := n.msg.lock
	if byIndex {
		find = n.msg.lockIndex
	}
	q, err := find(id)
	if err != nil {
		return MsgStat{}, err
	}
	defer q.Unlock()
	if !any {
		if err := n.allows(c, &q.header, ReadBits); err != nil {
			return MsgStat{}, err
		}
	}
	return q.stat(), nil
}

// MsgSet is msgctl(2) IPC_SET. Only CAP_SYS_RESOURCE makes a queue larger than msgmnb.
func (n *Namespace) MsgSet(c Caller, id int32, o Ownership, maxBytes uint64) error {
	l := n.Limits()
	q, err := n.msg.lock(id)
	if err != nil {
		return err
	}
	defer q.Unlock()
	if err := n.owns(c, &q.header); err != nil {
		return err
	}
	if maxBytes > uint64(l.MsgMnb) && !c.Creds().HasRootCap(unix.CAP_SYS_RESOURCE) {
		return unix.EPERM
	}
	q.set(c, o)
	q.max = maxBytes
	for _, r := range q.receivers {
		r.finish(nil, unix.EAGAIN) // they look again whether they may
	}
	q.receivers = nil
	q.room.Notify(wait.Internal)
	return nil
}

// MsgRemove is msgctl(2) IPC_RMID.
func (n *Namespace) MsgRemove(c Caller, id int32) error {
	q, err := n.msg.lock(id)
	if err != nil {
		return err
	}
	err = n.owns(c, &q.header)
	q.Unlock()
	if err == nil {
		n.removeQueue(q)
	}
	return err
}

// MsgTotals returns the highest index in use, the number of queues, of messages
// and of bytes (MSG_INFO).
func (n *Namespace) MsgTotals() (top, used int, count, bytes uint64) {
	top, used = n.msg.top()
	for _, s := range n.MsgList() {
		count += s.Count
		bytes += s.Bytes
	}
	return top, used, count, bytes
}

// MsgList returns the state of every queue (/proc/sysvipc/msg).
func (n *Namespace) MsgList() []MsgStat {
	var list []MsgStat
	for _, q := range n.msg.all() {
		q.Lock()
		if !q.removed {
			list = append(list, q.stat())
		}
		q.Unlock()
	}
	return list
}
