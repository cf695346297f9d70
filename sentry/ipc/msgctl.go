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
	return stat(n, &n.msg, c, id, byIndex, any, (*Queue).stat)
}

// MsgSet is msgctl(2) IPC_SET. Only CAP_SYS_RESOURCE makes a queue larger than msgmnb.
func (n *Namespace) MsgSet(c Caller, id int32, o Ownership, maxBytes uint64) error {
	most := uint64(n.Limits().MsgMnb)
	return change(n, &n.msg, c, id, func(q *Queue) error {
		if maxBytes > most && !c.Creds().HasRootCap(unix.CAP_SYS_RESOURCE) {
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
	})
}

// MsgRemove is msgctl(2) IPC_RMID.
func (n *Namespace) MsgRemove(c Caller, id int32) error {
	return removeOwned(n, &n.msg, c, id, n.removeQueue)
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
func (n *Namespace) MsgList() []MsgStat { return list(&n.msg, (*Queue).stat) }
