package main

import (
	"os"
	"path/filepath"
	"strings"
	"time"
)

// serverRoot is the root file system with the servers, of test/install.sh bench.
func serverRoot() string {
	if d := os.Getenv("RINGFORT_BENCH_ROOTFS"); d != "" {
		return d
	}
	return "/var/cache/ringfort/bench12"
}

// serverJobs run a server and its load in one sandbox over the loopback, and
// print the throughput the load generator reports.
func (b *bench) serverJobs() []*job {
	return []*job{
		{rows: []string{"redis_set", "redis_get"}, root: serverRoot(), limit: 90 * time.Second, args: shell(redis)},
		{rows: []string{"nginx_keep", "nginx_new"}, root: serverRoot(), limit: 60 * time.Second, args: shell(nginx), prepare: nginxFiles},
		{rows: []string{"pgbench_tpcb", "pgbench_select"}, root: serverRoot(), limit: 90 * time.Second, args: shell(pgbench)},
	}
}

// awaited defines await: tries a command for ten seconds until it succeeds.
const awaited = `await() { for i in $(seq 200); do "$@" >/dev/null 2>&1 && return; sleep 0.05; done; echo "no answer: $* $(tail -n 3 /tmp/log | tr '\n' ' ')" >&2; exit 1; }
`

const redis = awaited + `redis-server --save '' --appendonly no --bind 127.0.0.1 --protected-mode no >/dev/null &
await redis-cli -h 127.0.0.1 ping
redis-benchmark -h 127.0.0.1 -t set,get -n 30000 -c 20 --csv | awk -F '"' '$2 == "SET" || $2 == "GET" { print "result redis_" tolower($2), $4 }'
redis-cli -h 127.0.0.1 shutdown nosave
wait`

// The page is as long as the row says: 1 KiB.
const nginx = awaited + `nginx -c /bench/nginx.conf
await nc -z 127.0.0.1 8080
rate() { name=$1; shift; wrk -t 1 -c 20 -d 2s "$@" http://127.0.0.1:8080/1k >/tmp/wrk
	if grep -E 'Non-2xx|Socket errors: .*(connect|read|write) [1-9]' /tmp/wrk >&2; then return; fi
	awk -v n=$name '/^Requests\/sec/ { print "result", n, $2 }' /tmp/wrk
}
rate nginx_keep
rate nginx_new -H 'Connection: close'
nginx -c /bench/nginx.conf -s stop 2>/dev/null`

func nginxFiles(root string) error {
	www := filepath.Join(root, "bench/www")
	return firstError(
		os.MkdirAll(www, 0o755),
		os.WriteFile(filepath.Join(www, "1k"), []byte(strings.Repeat("x", 1024)), 0o644),
		os.WriteFile(filepath.Join(root, "bench/nginx.conf"), []byte(nginxConf), 0o644),
	)
}

const nginxConf = `worker_processes 1;
user root;
pid /tmp/nginx.pid;
error_log /tmp/error.log;
events { worker_connections 512; }
http {
	access_log off;
	keepalive_requests 1000000;
	server { listen 127.0.0.1:8080; root /bench/www; }
}
`

// The database is that of test/install.sh: scale 10, eight clients on one thread,
// and all settings as they come but fsync, which would measure the host's disk.
// A second of warming up has the overlay copy the files from its lower layer.
const pgbench = awaited + `bin=/usr/lib/postgresql/15/bin; pg="setpriv --reuid=postgres --regid=postgres --clear-groups"
$pg $bin/postgres -D /bench/pg -k /tmp -h 127.0.0.1 -c fsync=off >/tmp/log 2>&1 &
await $bin/pg_isready -h 127.0.0.1
rate() { name=$1; shift; $pg $bin/pgbench -h 127.0.0.1 -c 8 -T 3 -n "$@" postgres >/tmp/out; awk -v n=$name '/^tps/ { print "result", n, $3 }' /tmp/out; }
rate warm -T 1 >/dev/null
rate pgbench_tpcb
rate pgbench_select -S
$pg $bin/pg_ctl -D /bench/pg -m immediate stop >/dev/null`
