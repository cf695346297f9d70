package docker

// cases are the features of Docker that people use, one or a few in each.
var cases = []testCase{
	// A container's life.
	{name: "run", script: `run lab/bb:1 echo hello; echo $?`, want: "hello\n0\n"},
	{name: "exit-code", script: `for c in 0 7 255; do run lab/bb:1 sh -c "exit $c"; echo $?; done; run --init lab/bb:1 sh -c 'kill -9 $$'; echo $?
run lab/bb:1 sh -c 'exec 2>&1; sh -c "kill -SEGV \$\$"; echo $?'`, want: "0\n7\n255\n137\n.*139\n"},
	{name: "no-program", script: `run lab/bb:1 /nope >out 2>&1; e=$?; grep -o 'exec: "/nope".*no such file or directory' out; echo $e
run lab/bb:1 nope >out 2>&1; e=$?; grep -o 'exec: "nope": executable file not found in $PATH' out; echo $e`,
		want: "exec: \"/nope\".*127\n.*not found in .PATH\n127\n", alone: "runc words the first as its own stat call; the codes are runc's"},
	{name: "not-executable", script: `run lab/bb:1 /etc/passwd >out 2>&1; e=$?; grep -o 'exec: "/etc/passwd": permission denied' out; echo $e`, want: ".*126\n"},
	{name: "bad-flag", script: `docker run --runtime=$RT --no-such-flag lab/bb:1 true 2>/dev/null; echo $?; docker run --runtime=$RT-not lab/bb:1 true 2>/dev/null; echo $?`, want: "125\n125\n"},
	{name: "stdin", script: `echo data | run -i lab/bb:1 cat; seq 100000 | run -i lab/bb:1 wc -l`, want: "data\n100000\n"},
	{name: "stderr", script: `run lab/bb:1 sh -c 'echo out; echo err >&2' 2>/dev/null; run lab/bb:1 sh -c 'echo out; echo err >&2' 2>&1 >/dev/null`, want: "out\nerr\n"},
	{name: "tty", script: `pty docker run --runtime=$RT --rm -t lab/bb:1 sh -c "'tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo terminal'"`,
		want: "/dev/pts/0\n.*terminal\n"},
	{name: "tty-size", script: `pty "stty rows 33 cols 77; docker run --runtime=$RT --rm --label $C -it lab/bb:1 sh -c 'sleep 1; stty size; exit 4'"; echo $?`, want: "33 77\n4\n"},
	{name: "tty-interactive", script: `mkfifo keys; script -qfec "docker run --runtime=$RT --rm --label $C -it lab/bb:1 sh" /dev/null <keys >out & exec 4>keys; shown() { eventually grep "$1" out; }
shown '# '; echo 'echo $((6*7))' >&4; shown '^42'; echo 'sleep 100' >&4; sleep 1; printf '\003' >&4; echo 'echo code $?' >&4; shown '^code 130'; echo 'exit 5' >&4; wait $!; echo $?`, want: "5\n"},
	{name: "detached-logs", script: `up lab/bb:1 sh -c 'for i in 1 2 3; do echo line $i; done; sleep 0.2; echo err >&2; exit 4'; docker wait $C; docker logs $C 2>/dev/null; docker logs $C 2>&1 >/dev/null; docker logs --tail 1 $C; state ExitCode`,
		want: "4\nline 1\nline 2\nline 3\nerr\nerr\n4\n"},
	{name: "logs-follow", script: `up lab/bb:1 sh -c 'for i in 1 2 3; do echo $i; sleep 0.3; done'; docker logs -f $C`, want: "1\n2\n3\n"},
	{name: "exec", script: `up lab/bb:1 sleep 100; ex echo hi; echo in | docker exec -i $C cat; docker exec -e A=b -w /tmp -u 1:50 $C sh -c 'echo $A; pwd; id -u; id -g'; ex sh -c 'exit 9'; echo $?
ex /nope >/dev/null; echo $?; ex /etc/passwd >/dev/null; echo $?; ex sh -c 'kill -9 $$'; echo $?`, want: "hi\nin\nb\n/tmp\n1\n50\n9\n12[67]\n126\n137\n"},
	{name: "exec-tty", script: `up lab/bb:1 sleep 100; pty docker exec -it $C sh -c "'tty; test -t 1 && echo terminal; exit 3'"; echo $?
(sleep 1; echo 'echo $((6*7))'; sleep 0.5; echo exit) | pty docker exec -it $C sh | grep -c '^42'`, want: "/dev/pts/0\nterminal\n3\n1\n"},
	{name: "exec-detached", script: `up lab/bb:1 sleep 100; docker exec -d $C sh -c 'echo was here >/tmp/f; sleep 50'; eventually ex cat /tmp/f; ex cat /tmp/f; ex pidof sleep | wc -w; docker top $C >/dev/null; echo $?`, want: "was here\n2\n0\n"},
	{name: "exec-privileged", script: `up lab/bb:1 sleep 100; docker exec --privileged $C grep CapEff /proc/self/status; ex grep CapEff /proc/self/status`, want: "CapEff:.0000003fffffffff\nCapEff:.00000000a80425fb\n",
		alone: "runc gives no capability that the machine's root has not"},
	{name: "attach", script: `up -i lab/bb:1 sh -c 'read a; sleep 0.5; echo got $a; exit 6'; (sleep 0.5; echo word; sleep 2) | docker attach $C; echo $?`, want: "got word\n6\n"},
	{name: "stop", script: `up lab/bb:1 sh -c 'trap "echo bye; exit 3" TERM; while :; do sleep 0.1; done'; sleep 1; docker stop $C >/dev/null; docker logs $C; state ExitCode; state Status`, want: "bye\n3\nexited\n"},
	{name: "stop-timeout", script: `up lab/bb:1 sh -c 'trap "" TERM; while :; do sleep 0.1; done'; sleep 1; docker stop -t 1 $C >/dev/null; state ExitCode; state OOMKilled`, want: "137\nfalse\n"},
	{name: "stop-unhandled", script: `up lab/bb:1 sleep 100; sleep 1; docker stop -t 1 $C >/dev/null; state ExitCode; up2=$C-2; docker run --runtime=$RT -d --label $C --name $up2 --init lab/bb:1 sleep 100 >/dev/null; docker stop $up2 >/dev/null; docker inspect -f '{{.State.ExitCode}}' $up2`, want: "137\n143\n"},
	{name: "stop-signal", script: `up --stop-signal USR2 lab/bb:1 sh -c 'trap "echo usr2; exit 12" USR2; while :; do sleep 0.1; done'; sleep 1; docker stop $C >/dev/null; docker logs $C; state ExitCode`, want: "usr2\n12\n"},
	{name: "kill", script: `up lab/bb:1 sh -c 'trap "echo hup" HUP; trap "exit 10" USR1; while :; do sleep 0.1; done'; sleep 1; docker kill -s HUP $C >/dev/null; eventually sh -c "docker logs $C | grep hup"; docker kill -s 10 $C >/dev/null; docker wait $C; docker logs $C
docker start $C >/dev/null; docker kill $C >/dev/null; state ExitCode`, want: "10\nhup\n137\n"},
	{name: "start-again", script: `up lab/bb:1 sh -c 'echo x >>/f; cat /f | wc -l'; docker wait $C; docker start -a $C; docker restart $C >/dev/null; docker wait $C; docker logs $C`, want: "0\n2\n0\n1\n2\n3\n"},
	{name: "restart-on-failure", script: `up --restart on-failure:2 lab/bb:1 sh -c 'echo run; exit 1'; eventually sh -c "docker inspect -f '{{.RestartCount}} {{.State.Status}}' $C | grep -x '2 exited'"; docker logs $C; docker inspect -f '{{.RestartCount}}' $C`, want: "run\nrun\nrun\n2\n"},
	{name: "restart-always", script: `up --restart always lab/bb:1 sleep 100; p=$(state Pid); kill -9 $p; eventually sh -c "[ \$(docker inspect -f '{{.RestartCount}}' $C) = 1 ]"; eventually sh -c "docker inspect -f '{{.State.Running}}' $C | grep true"; eventually ex true; ex echo alive; docker stop -t 0 $C >/dev/null; state Status`, want: "alive\nexited\n"},
	{name: "wait", script: `up lab/bb:1 sh -c 'sleep 1; exit 44'; docker wait $C`, want: "44\n"},
	{name: "pause", script: `up lab/bb:1 sh -c 'i=0; while :; do i=$((i+1)); echo $i >/m; mv /m /n; sleep 0.05; done'; sleep 1; docker pause $C >/dev/null; state Status; docker exec $C true; echo $?; a=$(docker cp $C:/n - | tar xO); sleep 0.5; b=$(docker cp $C:/n - | tar xO); [ "$a" = "$b" ] && echo still
docker unpause $C >/dev/null; state Status; sleep 0.5; c=$(ex cat /n); [ "$c" -gt "$b" ] && echo on`, want: "paused\n.*1\nstill\nrunning\non\n"},
	{name: "kill-paused", script: `up lab/bb:1 sleep 100; docker pause $C >/dev/null; docker kill $C; docker rm -f $C >/dev/null; echo $?`, want: ".*0\n"},
	{name: "top", script: `up lab/bb:1 sh -c 'sleep 111 & sleep 112'; sleep 1; docker top $C | awk 'NR>1{$1=$2=$3=$4=$5=$6=$7="";print $8,$9,$10,$11,$12}' | sed 's/ *$//' | sort`, want: ".*sleep 111\nsleep 112\n"},
	{name: "events", script: `s=$(date +%s); up lab/bb:1 sh -c 'exit 3'; docker wait $C >/dev/null; docker rm $C >/dev/null; sleep 1; docker events --since $s --until $(date +%s) --filter container=$C --format '{{.Action}} {{.Actor.Attributes.exitCode}}'`,
		want: "create.*start.*die 3\n.*destroy.*"},
	{name: "rename", script: `up lab/bb:1 sleep 100; docker rename $C $C-new; docker exec $C-new echo ok`, want: "ok\n"},
	{name: "rm-force", script: `up lab/bb:1 sleep 100; docker rm -f $C >/dev/null; docker ps -aq --filter name=$C | wc -l`, want: "0\n"},
	{name: "sentry-killed", script: `up lab/bb:1 sleep 100; kill -9 $(state Pid); docker wait $C; state Status; docker start $C >/dev/null; ex echo again`, want: "137\nexited\nagain\n"},

	// Files.
	{name: "cp-in", script: `up lab/bb:1 sleep 100; ex ls /f /tmp/d >/dev/null; echo one >f; mkdir d; echo x >d/x; docker cp f $C:/f; docker cp d $C:/tmp/d; ex cat /f /tmp/d/x; echo twotwo >f; docker cp f $C:/f; ex cat /f; ex stat -c %s /f; ex ls /tmp`, want: "(ls.*)?one\nx\ntwotwo\n7\nd\n"},
	{name: "cp-in-awaited", script: `up lab/bb:1 sh -c 'echo 1 >/n; while [ ! -e /go ]; do sleep 0.2; done; cat /go; while [ $(stat -c %s /n) = 2 ]; do sleep 0.2; done; cat /n'; sleep 1; echo went >go; docker cp go $C:/go; eventually sh -c "docker logs $C | grep went"; echo more >n; docker cp n $C:/n; docker wait $C; docker logs $C`, want: "0\nwent\nmore\n"},
	{name: "cp-out", script: `up lab/bb:1 sh -c 'mkdir /d; echo a >/d/a; ln -s a /d/l; chmod 600 /d/a; sleep 100'; sleep 1; docker cp $C:/d out; cat out/a; readlink out/l; stat -c %a out/a; docker cp $C:/d/a - | tar tv | wc -l`, want: "a\na\n600\n1\n"},
	{name: "diff", script: `up lab/bb:1 sh -c 'echo a >/new; rm /etc/group; echo >>/etc/passwd; mkdir /dir; echo done; sleep 100'; eventually sh -c "docker logs $C | grep done"; docker diff $C | sort`, want: "A /dir\nA /new\nC /etc\nC /etc/passwd\nD /etc/group\n"},
	{name: "commit", script: `up lab/bb:1 sh -c 'echo kept >/kept; chown 1:50 /kept; mkdir -p /deep/er; ln /kept /deep/er/hard; echo done; sleep 100'; eventually sh -c "docker logs $C | grep done"; docker commit -c "LABEL $C=" $C lab/$C:2 >/dev/null; run lab/$C:2 sh -c 'cat /kept; stat -c "%u %g %h" /kept; ls -R /deep'`,
		want: "kept\n1 50 2\n/deep:\ner\n\n/deep/er:\nhard\n"},
	{name: "export", script: `up lab/bb:1 sh -c 'echo hi >/exported'; docker wait $C >/dev/null; docker export $C | tar xO exported`, want: "hi\n"},
	{name: "bind", script: `mkdir v; echo host >v/a; up -v $D/v:/v lab/bb:1 sleep 100; ex cat /v/a; ex ls /v/b 2>/dev/null; echo later >v/b; ex cat /v/b; ex sh -c 'echo inside >/v/c; mkdir /v/d; rm /v/a'; cat v/c; ls v; echo longer text >v/b; ex cat /v/b; ex stat -c %s /v/b; rm v/b; ex ls /v`,
		want: "host\nlater\ninside\nb\nc\nd\nlonger text\n12\nc\nd\n"},
	{name: "bind-ro", script: `mkdir v; echo host >v/a; run -v $D/v:/v:ro lab/bb:1 sh -c 'exec 2>&1; cat /v/a; echo x >/v/a; echo x >/v/b; rm /v/a; grep " /v " /proc/mounts | cut -d" " -f4 | cut -d, -f1'; ls v`, want: "host\n.*Read-only.*Read-only.*Read-only.*ro\na\n"},
	{name: "bind-file", script: `echo one >f; up -v $D/f:/etc/conf:ro lab/bb:1 sleep 100; ex cat /etc/conf; echo two >f; ex cat /etc/conf; ex sh -c 'echo x >/etc/conf'; true`, want: "one\ntwo\n.*Read-only file system\n"},
	{name: "bind-append", script: `echo one >f; up -v $D/f:/f lab/bb:1 sh -c 'tail -f /f'; eventually sh -c "docker logs $C | grep one"; echo two >>f; eventually sh -c "docker logs $C | grep two"; docker logs $C`, want: "one\ntwo\n"},
	{name: "volume", script: `docker volume create --label $C $C >/dev/null; run -v $C:/data lab/bb:1 sh -c 'echo kept >/data/f'; run -v $C:/data:ro lab/bb:1 sh -c 'exec 2>&1; cat /data/f; echo >/data/g'; up -v $C:/data lab/bb:1 sleep 100; run --volumes-from $C lab/bb:1 sh -c 'echo more >>/data/f'; ex cat /data/f; run --mount type=volume,src=$C,dst=/m,readonly lab/bb:1 wc -l /m/f`,
		want: "kept\n.*Read-only.*kept\nmore\n2 /m/f\n"},
	{name: "volume-populated", script: `run -v /etc lab/bb:1 sh -c 'ls /etc | grep passwd; mount | grep -c " /etc "'`, want: "passwd\n1\n"},
	{name: "volume-both", script: `docker volume create --label $C $C >/dev/null; up -v $C:/d lab/bb:1 sleep 100; docker run --runtime=$RT -d --label $C --name $C-b -v $C:/d lab/bb:1 sleep 100 >/dev/null; ex sh -c 'ls /d; echo from a >/d/a'; docker exec $C-b sh -c 'cat /d/a; echo from b >/d/b; echo and b >>/d/a'; ex cat /d/a /d/b`, want: "from a\nfrom a\nand b\nfrom b\n"},
	{name: "bind-nested", script: `mkdir -p v/in w; echo w >w/f; run -v $D/v:/v -v $D/w:/v/in lab/bb:1 sh -c 'cat /v/in/f; echo new >/v/in/g; echo v >/v/f'; cat w/g v/f; ls v/in`, want: "w\nnew\nv\n"},
	{name: "tmpfs", script: `run --tmpfs /t:size=1m,mode=1770,uid=1 lab/bb:1 sh -c 'stat -c "%a %u" /t; df -k /t | tail -1 | awk "{print \$2}"; dd if=/dev/zero of=/t/f bs=1k count=2000 2>&1 | grep -o "No space.*"; mount | grep " /t " | cut -d" " -f5'`, want: "1770 1\n1024\nNo space left on device\ntmpfs\n"},
	{name: "tmpfs-default", script: `run --tmpfs /t lab/bb:1 sh -c 'df /t | tail -1 | awk "{print (\$2>1000000), \$4==\$2}"; mount | grep " /t "'; run --tmpfs /t:size=8m lab/bb:1 sh -c 'exec 2>&1; dd if=/dev/zero of=/t/f bs=64k count=1000 | grep No; df /t | tail -1; rm /t/f; dd if=/dev/zero of=/t/f bs=1M seek=4 count=2; df /t | tail -1'`, want: "1 1\ntmpfs on /t .*relatime\\)\n.*100%.*25% /t\n"},
	{name: "mount-tmpfs", script: `run --mount type=tmpfs,dst=/t,tmpfs-size=2097152,tmpfs-mode=0700 lab/bb:1 sh -c 'stat -c %a /t; df -k /t | tail -1 | awk "{print \$2}"'`, want: "700\n2048\n"},
	{name: "read-only", script: `run --read-only --tmpfs /run lab/bb:1 sh -c 'exec 2>&1; echo >/f; echo ok >/run/f; cat /run/f; echo x >/dev/shm/f; cat /dev/shm/f; echo >/etc/passwd; grep " / " /proc/mounts | tail -1 | cut -d" " -f4 | cut -d, -f1'`, want: ".*Read-only file system\nok\nx\n.*Read-only file system\nro\n"},
	{name: "shm-size", script: `run --shm-size 1m lab/bb:1 sh -c 'df -k /dev/shm | tail -1 | awk "{print \$2}"'; run lab/bb:1 sh -c 'df -k /dev/shm | tail -1 | awk "{print \$2}"'`, want: "1024\n65536\n"},
	{name: "workdir", script: `run -w /not/there lab/bb:1 sh -c 'pwd; stat -c "%a %u" .'`, want: "/not/there\n755 0\n"},

	// Identity and rights.
	{name: "user", script: `run -u 1:50 lab/bb:1 sh -c 'exec 2>&1; id -u; id -g; touch /f; echo $HOME'; run lab/bb:1 sh -c 'echo $HOME'; run -u daemon lab/bb:1 sh -c 'id -u; id -g; id -G'; run -u 1234 --group-add 50 --group-add 777 lab/bb:1 sh -c 'id -u; id -G | tr " " "\n" | sort -n | tr "\n" " "; echo $HOME'; run -u nouser lab/bb:1 true >out 2>&1; e=$?; grep -o 'unable to find user nouser' out; echo $e`,
		want: "1\n50\n.*Permission denied\n/\n/root\n1\n1\n.*1234\n0 50 777 /\nunable to find user nouser\n125\n"},
	{name: "capabilities", script: `show='grep ^Cap /proc/self/status'; run lab/bb:1 sh -c "$show"; run --cap-add NET_ADMIN --cap-drop CHOWN lab/bb:1 sh -c "exec 2>&1; $show; chown 1 /tmp"; run --cap-drop ALL lab/bb:1 sh -c "exec 2>&1; $show; mknod /tmp/n c 1 3"; run --cap-drop ALL -u 1 --cap-add CHOWN lab/bb:1 sh -c "$show"`, want: ".*Operation not permitted.*"},
	{name: "privileged", script: `run --privileged lab/bb:1 sh -c 'grep CapBnd /proc/self/status; mkdir -p /mnt; mount -t tmpfs t /mnt && df /mnt | tail -1 | cut -d" " -f1; ls /dev/null'`, want: "CapBnd.*t\n/dev/null\n",
		alone: "runc gives no capability that the machine's root has not"},
	{name: "seccomp-file", script: `echo '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":38}]}' >s.json; run --security-opt seccomp=s.json lab/bb:1 sh -c 'exec 2>&1; mkdir /d; echo ok; grep Seccomp: /proc/self/status'`, want: ".*Function not implemented\nok\nSeccomp:.2\n"},
	{name: "seccomp-default", script: `run lab/bb:1 sh -c 'exec 2>&1; grep Seccomp: /proc/self/status; unshare -m true; echo $?'; run --security-opt seccomp=unconfined lab/bb:1 grep Seccomp: /proc/self/status`, want: "Seccomp:.2\nunshare.*\n1\nSeccomp:.0\n"},
	{name: "no-new-privileges", script: `run --security-opt no-new-privileges lab/bb:1 grep NoNewPrivs /proc/self/status; run lab/bb:1 grep NoNewPrivs /proc/self/status; up --security-opt no-new-privileges lab/bb:1 sleep 100; ex grep NoNewPrivs /proc/self/status`, want: "NoNewPrivs:.1\nNoNewPrivs:.0\nNoNewPrivs:.1\n"},
	{name: "ulimit", script: `run --ulimit nofile=100:200 --ulimit nproc=50 --ulimit core=0 --ulimit stack=16777216 lab/deb:1 bash -c 'ulimit -n; ulimit -Hn; ulimit -u; ulimit -c; ulimit -s'`, want: "100\n200\n50\n0\n16384\n"},
	{name: "limits-inherited", script: `run lab/deb:1 sh -c 'sed "s/ *$//" /proc/self/limits'; up lab/deb:1 sleep 100; ex sh -c 'sed "s/ *$//" /proc/self/limits'`, want: ".*Max open files.*"},
	{name: "proc-masked", script: `run lab/bb:1 sh -c 'exec 2>&1; ls /sys/firmware | wc -l; echo 1 >/proc/sys/kernel/domainname; for f in kcore keys timer_list; do [ -s /proc/$f ] && echo $f is seen; done; ls /proc/acpi /proc/scsi 2>/dev/null | grep -v :'; true`, want: "0\n.*Read-only file system\n"},

	// Limits.
	{name: "memory", script: `run --memory 64m lab/bb:1 sh -c 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes'
up --memory 64m lab/deb:1 python3 -c 'a=b"x"*(200<<20); print(len(a))'; docker wait $C
for i in $(seq 50); do test "$(state OOMKilled)" = true && break; sleep 0.1; done # it is told apart from the end, by nobody's order
state OOMKilled; docker logs $C`, want: "67108864\n137\ntrue\n", lossy: true},
	{name: "memory-show", script: `run --memory 100m lab/bb:1 sh -c 'awk "/MemTotal/{print \$2}" /proc/meminfo; free -m | awk "/Mem:/{print \$2}"'`, want: "102400\n100\n", alone: "runc shows the machine's"},
	{name: "cpus", script: `run --cpus 0.5 lab/bb:1 sh -c 'cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us'; up --cpus 0.2 lab/bb:1 sh -c 'while :; do :; done'; sleep 1.5; awk '/nr_throttled/{print ($2>2)}' /sys/fs/cgroup/cpu/*/$(docker inspect -f '{{.Id}}' $C)/cpu.stat`, want: "50000\n100000\n1\n"},
	{name: "cpu-shares", script: `run lab/bb:1 cat /sys/fs/cgroup/cpu/cpu.shares; up --cpu-shares 512 lab/bb:1 sleep 100; ex cat /sys/fs/cgroup/cpu/cpu.shares; docker update --cpu-shares 2000 $C >/dev/null; ex cat /sys/fs/cgroup/cpu/cpu.shares`, want: "1024\n512\n2000\n"},
	{name: "cpuset", script: `run --cpuset-cpus 1 lab/bb:1 sh -c 'nproc; cat /sys/fs/cgroup/cpuset/cpuset.cpus; grep Cpus_allowed_list /proc/self/status; taskset -p $$ | grep -o "mask: .*"'; run lab/bb:1 nproc`, want: "1\n1\nCpus_allowed_list:.1\nmask: 2\n2\n"},
	{name: "pids-limit", script: `run --pids-limit 5 lab/bb:1 sh -c 'exec 2>&1; cat /sys/fs/cgroup/pids/pids.max; for i in 1 2 3 4 5 6 7; do sleep 1 & done; wait' | grep -o "^5\|can't fork.*" | sort -u`, want: "5\n.*can't fork.*|can't fork.*5\n"},
	{name: "update", script: `up --memory 64m --cpus 0.5 lab/bb:1 sleep 100; docker update --memory 128m --memory-swap 256m --cpus 1.5 $C >/dev/null; ex cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/cpu/cpu.cfs_quota_us; docker update --pids-limit 44 $C >/dev/null; ex cat /sys/fs/cgroup/pids/pids.max; docker update --cpuset-cpus 0 $C >/dev/null; ex nproc; docker update --restart always $C >/dev/null; echo $?`, want: "134217728\n150000\n44\n1\n0\n"},
	{name: "stats", script: `up --memory 64m lab/deb:1 perl -e '$|=1; $a="x" x (20<<20); print "ready\n"; sleep 100'; eventually sh -c "docker logs $C | grep ready"; docker stats --no-stream --format '{{.MemUsage}} {{.PIDs}}' $C | awk '{m=$1+0; print ($1 ~ /MiB/ && m>20 && m<60), $3, ($4>0)}'`, want: "1 64MiB 1\n"},
	{name: "stats-cpu", script: `up lab/bb:1 sh -c 'while :; do :; done'; eventually sh -c "docker stats --no-stream --format '{{.CPUPerc}}' $C | awk '{exit !(\$1+0>1 && \$1+0<220)}'"; docker stats --no-stream --format '{{.NetIO}} {{.BlockIO}}' $C | wc -w`, want: "6\n"},

	// Settings.
	{name: "init", script: `up --init lab/bb:1 sh -c 'sh -c "sleep 0.1 & exit"; exec sleep 100'; ex ps -o pid,args | head -2 | tail -1 | awk '{print $1,$2}'; sleep 1; ex ps -o stat | grep -c Z; true`, want: "1 /sbin/docker-init\n0\n"},
	{name: "hostname", script: `run --hostname myhost --domainname my.dom lab/bb:1 sh -c 'hostname; cat /proc/sys/kernel/domainname; grep -c myhost /etc/hosts; cat /etc/hostname'`, want: "myhost\nmy.dom\n1\nmyhost\n"},
	{name: "dns", script: `run --dns 10.9.8.7 --dns-search lab.test --dns-option ndots:3 lab/bb:1 cat /etc/resolv.conf`, want: ".*search lab.test\nnameserver 10.9.8.7\noptions ndots:3\n"},
	{name: "add-host", script: `run --add-host box:10.1.2.3 lab/bb:1 sh -c 'grep box /etc/hosts'; run --add-host box:10.1.2.3 lab/deb:1 getent hosts box`, want: "10.1.2.3.box\n10.1.2.3 *box\n"},
	{name: "environment", script: `printf 'A=1\nB=two words\n' >env; run --env-file env -e C=3 lab/bb:1 sh -c 'echo $A $B $C; echo $PATH'; run --entrypoint /bin/echo lab/bb:1 a b`, want: "1 two words 3\n/usr.*\na b\n"},
	{name: "device", script: `run --device /dev/null:/dev/mynull --device /dev/zero:/dev/z:r lab/bb:1 sh -c 'echo x >/dev/mynull; stat -c "%F %t:%T" /dev/mynull; head -c 4 /dev/z | od -An -tx1'; run lab/bb:1 ls /dev`, want: "character special file 1:3\n 00 00 00 00\n.*"},
	{name: "sysctl", script: `run --sysctl net.ipv4.ip_forward=1 --sysctl net.core.somaxconn=123 --sysctl kernel.shmmax=12345678 lab/bb:1 cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/core/somaxconn /proc/sys/kernel/shmmax`, want: "1\n123\n12345678\n"},
	{name: "healthcheck", script: `up --health-cmd 'test -e /ok' --health-interval 0.3s --health-retries 2 lab/bb:1 sleep 100; h="docker inspect -f {{.State.Health.Status}} $C"; eventually sh -c "$h | grep -x unhealthy"; $h; ex touch /ok; eventually sh -c "$h | grep -x healthy"; $h`, want: "unhealthy\nhealthy\n"},
	{name: "oom-score", script: `run --oom-score-adj 500 lab/bb:1 cat /proc/self/oom_score_adj`, want: "500\n"},
	{name: "log-driver", script: `up --log-driver none lab/bb:1 echo x; docker wait $C; docker run --runtime=$RT --rm --label $C --log-driver local lab/bb:1 echo local`, want: "0\nlocal\n"},
	{name: "ipc", script: `up --ipc shareable lab/bb:1 sleep 100; ex ls -d /dev/shm; run --ipc private lab/bb:1 sh -c 'echo x >/dev/shm/f; cat /dev/shm/f'; run --ipc none lab/bb:1 sh -c 'mount | grep -c /dev/shm'; true`, want: "/dev/shm\nx\n0\n"},

	// Network.
	{name: "net-bridge", script: `up lab/bb:1 sleep 100; ip=$(docker inspect -f '{{.NetworkSettings.IPAddress}}' $C); ex ip -4 addr show eth0 | grep -c $ip; ex ping -c 1 -W 2 172.17.0.1 | grep -o '1 packets received'; host busybox ping -c 1 -W 2 $ip | grep -o '1 packets received'; ex ip route | head -1; ex cat /sys/class/net/eth0/mtu`, want: "1\n1 packets received\n1 packets received\ndefault via 172.17.0.1 dev eth0 *\n1500\n"},
	{name: "publish", script: `up -p 127.0.0.1::8000 lab/bb:1 sh -c 'mkdir /w; echo page >/w/index.html; httpd -f -p 8000 -h /w'; p=$(docker port $C 8000 | cut -d: -f2); eventually host busybox wget -qO- http://127.0.0.1:$p/; host busybox wget -qO- http://127.0.0.1:$p/`, want: "page\n"},
	{name: "publish-udp", script: `up -p 127.0.0.1::9000/udp lab/deb:1 sh -c 'mkfifo /f; nc -u -l -p 9000 </f | tee /f'; p=$(docker port $C 9000/udp | cut -d: -f2); sleep 1; host timeout 5 bash -c "exec 3<>/dev/udp/127.0.0.1/$p; echo ping >&3; head -1 <&3"`, want: "ping\n"},
	{name: "net-names", script: `docker network create --label $C $C >/dev/null; docker run --runtime=$RT -d --label $C --name $C-srv --network $C --network-alias alias lab/bb:1 sh -c 'mkdir /w; echo found >/w/index.html; httpd -f -h /w' >/dev/null; up --network $C lab/bb:1 sleep 100; ex cat /etc/resolv.conf | grep -v '^#' | grep 127; eventually ex wget -qO- http://$C-srv/; ex wget -qO- http://$C-srv/; ex wget -qO- http://alias/; ex nslookup -type=a alias 127.0.0.11 | grep -c Address`, want: "nameserver 127.0.0.11\nfound\nfound\n[12]\n"},
	{name: "net-names-glibc", script: `docker network create --label $C $C >/dev/null; docker run --runtime=$RT -d --label $C --name $C-srv --network $C lab/bb:1 sleep 100 >/dev/null; ip=$(docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' $C-srv); up --network $C lab/deb:1 sleep 100; [ "$(ex getent hosts $C-srv | cut -d' ' -f1)" = $ip ] && echo same; ex getent hosts $ip | awk '{print $2}'; ex getent ahosts $C | awk '{print $2}' | sort | tr '\n' ' '`, want: "same\nNAME-srv.NAME\nDGRAM RAW STREAM "},
	{name: "net-internal", script: `docker network create --internal --subnet 10.77.5.0/24 --label $C $C >/dev/null; run --network $C lab/bb:1 sh -c 'ip route | grep -c "^default via"; ip -4 addr show eth0 | grep -c 10.77'; docker network rm $C >/dev/null`, want: "[01]\n1\n"},
	{name: "net-ip", script: `docker network create --subnet 10.78.5.0/24 --label $C $C >/dev/null; run --network $C --ip 10.78.5.77 --mac-address 02:11:22:33:44:55 lab/bb:1 sh -c 'ip -4 addr show eth0 | grep -o 10.78.5.77/24; cat /sys/class/net/eth0/address'; docker network rm $C >/dev/null`, want: "10.78.5.77/24\n02:11:22:33:44:55\n"},
	{name: "net-two", script: `docker network create --label $C $C-1 >/dev/null; docker network create --label $C $C-2 >/dev/null; docker create --runtime=$RT --label $C --name $C --network $C-1 lab/bb:1 sleep 100 >/dev/null; docker network connect $C-2 $C; docker start $C >/dev/null; ex ls /sys/class/net | tr '\n' ' '`, want: "eth0 eth1 lo "},
	{name: "net-connect", script: `[ $RT = runsc ] && RT=runsc-follow; for n in 1 2; do docker network create --label $C $C-$n >/dev/null; done
docker run --runtime=$RT -d --label $C --name $C-srv --network $C-2 lab/bb:1 sh -c 'mkdir /w; echo served >/w/index.html; exec httpd -f -h /w' >/dev/null
docker run --runtime=$RT -d --label $C --name $C lab/bb:1 sh -c 'mkdir /w; echo back >/w/index.html; exec httpd -f -h /w' >/dev/null
links() { ex ls /sys/class/net | tr '\n' ' '; ex ip route | grep -c . ; }
has() { ex ls /sys/class/net/$1; }; no() { ! has $1; }
for i in 1 2 3; do docker network connect $C-2 $C; eventually has eth$i; eventually ex wget -qO- http://$C-srv/; ex wget -qO- http://$C-srv/; docker exec $C-srv wget -qO- http://$C/; ex ping -c 1 -W 2 172.17.0.1 | grep -o "1 packets received"; links
docker network disconnect $C-2 $C; eventually no eth$i; links; done
docker network connect $C-1 $C; docker network connect $C-2 $C; eventually has eth5; docker network disconnect bridge $C; eventually no eth0; eventually ex wget -qO- http://$C-srv/; links; ex ip route | grep -c ^default`,
		want: "(served\nback\n1 packets received\neth0 eth[123] lo 3\neth0 lo 2\n){3}eth4 eth5 lo 3\n1\n"},
	{name: "net-none", script: `run --network none lab/bb:1 sh -c 'ls /sys/class/net; ping -c 1 127.0.0.1 | grep -o "1 packets received"'`, want: "lo\n1 packets received\n"},
	{name: "net-container", script: `up lab/bb:1 sh -c 'mkdir /w; echo shared >/w/index.html; httpd -f -h /w'; sleep 1; run --network container:$C lab/bb:1 sh -c 'wget -qO- http://127.0.0.1/; ls /sys/class/net | tr "\n" " "'; ex wget -qO- http://127.0.0.1/`, want: "shared\neth0 lo shared\n"},
	{name: "pid-container", script: `up lab/bb:1 sleep 111; run --network container:$C --pid container:$C lab/bb:1 sh -c 'ps -o args | grep -c "^sleep 111"; kill -TERM 1; kill -9 1; echo'; state Running`, want: "1\n\ntrue\n"},
	{name: "ipc-container", script: `up --ipc shareable lab/deb:1 sh -c 'echo shared >/dev/shm/f; ipcmk -M 4096 >/dev/null; sleep 100'; sleep 1; run --network container:$C --ipc container:$C lab/deb:1 sh -c 'cat /dev/shm/f; ipcs -m | grep -c 4096'`, want: "shared\n1\n"},
	{name: "net-host", script: `up --network host lab/bb:1 sh -c 'mkdir /w; echo hostnet >/w/index.html; httpd -f -p 18080 -h /w'; sleep 1; host busybox wget -qO- http://127.0.0.1:18080/; ex wget -qO- http://127.0.0.1:18080/; [ "$(ex hostname)" = "$(hostname)" ] && echo same`, want: "hostnet\nhostnet\nsame\n"},
	{name: "net-link", script: `docker run --runtime=$RT -d --label $C --name $C-a lab/bb:1 sleep 100 >/dev/null; run --link $C-a:other lab/bb:1 sh -c 'ping -c 1 -W 2 other | grep -o "1 packets received"; grep -c other /etc/hosts'`, want: "1 packets received\n1\n"},
	{name: "net-outside", script: `echo out >index.html; nsenter --target $NS --net busybox httpd -f -p 172.17.0.1:18181 -h $D >/dev/null 2>&1 & p=$!; sleep 0.5; run lab/bb:1 wget -qO- http://172.17.0.1:18181/; kill $p`, want: "out\n"},

	// What has to be refused, or fails, tells why in one line.
	{name: "refused-gpus", script: `run --gpus all lab/bb:1 true >out 2>&1; echo $?; grep -c "^docker: " out; grep -oi 'gpu' out | head -1`, want: "125\n1\ngpu\n", alone: "the daemon refuses it"},
	{name: "refused-pid", script: `up lab/bb:1 sleep 100; run --pid container:$C lab/bb:1 true`, want: "docker: Error response[^\n]*has to share its network as well[^\n]*\n\\(exit status 125\\)\n", alone: "runc can share one without the other"},
	{name: "refused-network", script: `docker run --runtime=runc -d --label $C --name $C lab/bb:1 sleep 100 >/dev/null; run --network container:$C lab/bb:1 true; docker exec $C ping -c 1 -W 2 172.17.0.1 | grep -o '1 packets received'`, want: "docker: Error response[^\n]*cannot both have the links[^\n]*\n1 packets received\n", alone: "runc shares the host's kernel with itself"},
	{name: "refused-mount", script: `run -v /etc/passwd:/tmp lab/bb:1 true 2>&1`, want: "docker: Error response[^\n]*/tmp[^\n]*not a directory[^\n]*\n\\(exit status 125\\)\n", alone: "runc words it otherwise"},
}
