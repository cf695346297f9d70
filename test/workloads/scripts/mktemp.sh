f=$(mktemp); [ -f $f ] && echo ok; stat -c %a $f; d=$(mktemp -d); stat -c %a $d; rmdir $d
