// Connections.
#include "micro.h"
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

// op_connect makes, accepts and closes a TCP connection over the loopback.
static double op_connect(long n) {
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof a;
	int l = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(!bind(l, (void *)&a, len) && !listen(l, 16) && !getsockname(l, (void *)&a, &len));
	double t = LOOP(n, {
		int c = socket(AF_INET, SOCK_STREAM, 0);
		CHECK(!connect(c, (void *)&a, len));
		int s = accept(l, 0, 0);
		CHECK(s >= 0);
		close(c);
		close(s);
	});
	close(l);
	return t;
}

const struct op net[] = {{"connect", op_connect}, {0}};
