package host

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"ringfort/sentry/wait"
)

// poller turns host readiness into notifications of wait queues. Its goroutine
// sleeps in epoll_wait(2) and costs nothing while nothing happens.
type poller struct {
	once  sync.Once
	epfd  int
	err   error
	mu    sync.Mutex
	files map[int32]*wait.Queue
}

var hostPoller = poller{files: map[int32]*wait.Queue{}}

// add has q notified when fd becomes ready; false if fd is of a kind that
// always is (a regular file).
func (p *poller) add(fd int, q *wait.Queue) (bool, error) {
	p.once.Do(p.start)
	if p.err != nil {
		return false, p.err
	}
	p.mu.Lock()
	p.files[int32(fd)] = q
	p.mu.Unlock()
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLPRI | unix.EPOLLET, Fd: int32(fd)}
	err := unix.EpollCtl(p.epfd, unix.EPOLL_CTL_ADD, fd, &ev)
	if err == nil {
		return true, nil
	}
	p.mu.Lock()
	delete(p.files, int32(fd))
	p.mu.Unlock()
	if err == unix.EPERM {
		return false, nil
	}
	return false, fmt.Errorf("watch inherited descriptor %d: %w", fd, err)
}

func (p *poller) remove(fd int) {
	unix.EpollCtl(p.epfd, unix.EPOLL_CTL_DEL, fd, nil) // fails only if it is not there
	p.mu.Lock()
	delete(p.files, int32(fd))
	p.mu.Unlock()
}

func (p *poller) start() {
	if p.epfd, p.err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); p.err == nil {
		go p.run()
	}
}

func (p *poller) run() {
	var events [16]unix.EpollEvent
	for {
		n, err := unix.EpollWait(p.epfd, events[:], -1)
		if err != nil && err != unix.EINTR {
			panic(fmt.Sprintf("host poller: epoll_wait: %v", err))
		}
		for i := range max(n, 0) {
			p.mu.Lock()
			q := p.files[events[i].Fd]
			p.mu.Unlock()
			if q != nil {
				q.Notify(wait.Events(events[i].Events&0x3fff) | wait.RdNorm | wait.WrNorm)
			}
		}
	}
}

// Watch has q notified when a descriptor of the host becomes ready, from now to Unwatch.
func Watch(fd int, q *wait.Queue) error {
	_, err := hostPoller.add(fd, q)
	return err
}

// Unwatch undoes Watch; it comes before the descriptor is closed.
func Unwatch(fd int) { hostPoller.remove(fd) }
