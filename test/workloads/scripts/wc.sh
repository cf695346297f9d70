seq 12345 | wc; wc -c /etc/passwd | cut -d" " -f2; echo -n "héllo" | wc -m
