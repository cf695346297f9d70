stat -c "%n %F %a" /dev/null /dev/zero /proc /tmp /etc/passwd; stat -f -c %T /proc /dev/shm; test -c /dev/null && echo char; test -d /etc && echo dir; test -L /bin && echo link
