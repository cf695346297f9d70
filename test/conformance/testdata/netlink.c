// AF_NETLINK sockets of the route family.
#include "case.h"
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
static char buf[65536];
static int f;
static struct sockaddr_nl me;
static socklen_t len = sizeof me;
static void open_all(void) {
	f = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	CHECK(f >= 0);
	me.nl_family = AF_NETLINK;
	CHECK(bind(f, (void *)&me, sizeof me) == 0 && getsockname(f, (void *)&me, &len) == 0);
}
static struct {
	struct nlmsghdr h;
	union {
		struct rtgenmsg g;
		struct ifinfomsg i;
		struct ifaddrmsg a;
		struct rtmsg r;
	};
	char attrs[64];
} rq;
static void ask(int type, int flags, int size) {
	rq.h.nlmsg_len = NLMSG_LENGTH(size);
	rq.h.nlmsg_type = type;
	rq.h.nlmsg_flags = NLM_F_REQUEST | flags;
	rq.h.nlmsg_seq = 9;
	CHECK(send(f, &rq, rq.h.nlmsg_len, 0) == (int)rq.h.nlmsg_len);
}
static struct nlmsghdr *answer(void) {
	int n = recv(f, buf, sizeof buf, 0);
	struct nlmsghdr *h = (void *)buf;
	CHECK(NLMSG_OK(h, n) && h->nlmsg_seq == 9 && h->nlmsg_pid == me.nl_pid);
	return h;
}
static int error(void) {
	struct nlmsghdr *h = answer();
	CHECK(h->nlmsg_type == NLMSG_ERROR);
	return -((struct nlmsgerr *)NLMSG_DATA(h))->error;
}
// dumped counts the messages of a type until the dump ends.
static int dumped(int type) {
	for (int n = 0;;) {
		int got = recv(f, buf, sizeof buf, 0);
		CHECK(got > 0);
		for (struct nlmsghdr *h = (void *)buf; NLMSG_OK(h, got); h = NLMSG_NEXT(h, got)) {
			if (h->nlmsg_type == NLMSG_DONE)
				return n;
			CHECK(h->nlmsg_type == type && (h->nlmsg_flags & NLM_F_MULTI));
			n++;
		}
	}
}
CASE(types_and_protocols) {
	FAILS(socket(AF_NETLINK, SOCK_STREAM, 0), ESOCKTNOSUPPORT);
	FAILS(socket(AF_NETLINK, SOCK_RAW, 77), EPROTONOSUPPORT);
	CHECK(socket(AF_NETLINK, SOCK_DGRAM, NETLINK_KOBJECT_UEVENT) >= 0);
}
CASE(port) {
	open_all();
	CHECK((int)me.nl_pid == getpid());
	int g = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	struct sockaddr_nl a = {AF_NETLINK};
	CHECK(bind(g, (void *)&a, sizeof a) == 0 && getsockname(g, (void *)&a, &len) == 0 && a.nl_pid != me.nl_pid &&
	      a.nl_pid != 0);
	a.nl_pid = me.nl_pid;
	FAILS(bind(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), (void *)&a, sizeof a), EADDRINUSE);
	FAILS(bind(g, (void *)&a, 4), EINVAL);
}
CASE(links) {
	open_all();
	ask(RTM_GETLINK, NLM_F_DUMP, sizeof rq.g);
	CHECK(dumped(RTM_NEWLINK) >= 1);
}
CASE(addresses) {
	open_all();
	rq.g.rtgen_family = AF_INET;
	ask(RTM_GETADDR, NLM_F_DUMP, sizeof rq.g);
	CHECK(dumped(RTM_NEWADDR) >= 1);
}
CASE(routes) {
	open_all();
	rq.r.rtm_family = AF_INET;
	ask(RTM_GETROUTE, NLM_F_DUMP, sizeof rq.r);
	CHECK(dumped(RTM_NEWROUTE) >= 3);
}
CASE(rules) {
	open_all();
	rq.r.rtm_family = AF_INET;
	ask(RTM_GETRULE, NLM_F_DUMP, sizeof rq.r);
	CHECK(dumped(RTM_NEWRULE) >= 3);
}
CASE(one_link) {
	open_all();
	rq.i.ifi_index = 1;
	ask(RTM_GETLINK, 0, sizeof rq.i);
	struct nlmsghdr *h = answer();
	CHECK(h->nlmsg_type == RTM_NEWLINK);
	struct ifinfomsg *i = NLMSG_DATA(h);
	CHECK(i->ifi_index == 1 && i->ifi_type == 772 && (i->ifi_flags & IFF_LOOPBACK));
	int n = IFLA_PAYLOAD(h), found = 0;
	for (struct rtattr *a = IFLA_RTA(i); RTA_OK(a, n); a = RTA_NEXT(a, n)) {
		if (a->rta_type == IFLA_IFNAME)
			found |= !strcmp(RTA_DATA(a), "lo");
		if (a->rta_type == IFLA_MTU && *(unsigned *)RTA_DATA(a) == 65536)
			found |= 2;
	}
	CHECK(found == 3);
}
CASE(no_such_link) {
	open_all();
	rq.i.ifi_index = 777;
	ask(RTM_GETLINK, 0, sizeof rq.i);
	CHECK(error() == ENODEV);
}
CASE(acknowledged) {
	open_all();
	rq.i.ifi_index = 1;
	ask(RTM_GETLINK, NLM_F_ACK, sizeof rq.i);
	CHECK(answer()->nlmsg_type == RTM_NEWLINK);
	CHECK(error() == 0);
}
CASE(unknown_request) {
	open_all();
	ask(1234, 0, sizeof rq.g);
	CHECK(error() == EOPNOTSUPP);
}
CASE(not_permitted) {
	open_all();
	CHECK(setresuid(1000, 1000, 1000) == 0);
	rq.a.ifa_family = AF_INET;
	ask(RTM_NEWADDR, NLM_F_ACK, sizeof rq.a);
	CHECK(error() == EPERM);
}
CASE(peek_and_truncate) {
	open_all();
	rq.i.ifi_index = 1;
	ask(RTM_GETLINK, 0, sizeof rq.i);
	int n = recv(f, buf, 0, MSG_PEEK | MSG_TRUNC);
	CHECK(n > 100 && recv(f, buf, sizeof buf, 0) == n);
	FAILS(recv(f, buf, 1, MSG_DONTWAIT), EAGAIN);
}
CASE(sender_is_kernel) {
	struct sockaddr_nl a;
	socklen_t n = sizeof a;
	open_all();
	rq.i.ifi_index = 1;
	ask(RTM_GETLINK, 0, sizeof rq.i);
	CHECK(recvfrom(f, buf, sizeof buf, 0, (void *)&a, &n) > 0 && n == 12 && a.nl_family == AF_NETLINK &&
	      a.nl_pid == 0);
}
CASE(several_requests_in_one_send) {
	struct {
		struct nlmsghdr h;
		struct ifinfomsg i;
	} two[2];
	open_all();
	memset(two, 0, sizeof two);
	for (int k = 0; k < 2; k++) {
		two[k].h = (struct nlmsghdr){sizeof two[0], RTM_GETLINK, NLM_F_REQUEST, 9, 0};
		two[k].i.ifi_index = 1;
	}
	CHECK(send(f, two, sizeof two, 0) == sizeof two);
	CHECK(answer()->nlmsg_type == RTM_NEWLINK && answer()->nlmsg_type == RTM_NEWLINK);
}
CASE(malformed) {
	open_all();
	CHECK(send(f, "abc", 3, 0) == 3);
	struct nlmsghdr h = {1000, RTM_GETLINK, NLM_F_REQUEST, 9, 0};
	CHECK(send(f, &h, sizeof h, 0) == sizeof h);
	FAILS(recv(f, buf, 1, MSG_DONTWAIT), EAGAIN);
}
CASE(libc_lists_interfaces) {
	struct ifaddrs *a;
	int lo = 0;
	CHECK(getifaddrs(&a) == 0);
	for (; a; a = a->ifa_next)
		if (!strcmp(a->ifa_name, "lo") && a->ifa_addr && a->ifa_addr->sa_family == AF_INET)
			lo++;
	CHECK(lo == 1);
	struct if_nameindex *i = if_nameindex();
	CHECK(i && i[0].if_index == 1 && !strcmp(i[0].if_name, "lo"));
}
