# /dev/stdin of a pipe whose writer has gone
printf abc | cat /dev/stdin; echo
printf "1\n2\n" | wc -l /dev/stdin
