mkfifo p; (for i in 1 2 3; do echo line $i; done > p) & cat p; wait; stat -c %F p
