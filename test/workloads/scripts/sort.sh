for i in $(seq 3000); do echo $(( (i*7919) % 3001 )); done > n; sort -n n | md5sum; sort -rn n | head -1; sort -u n | wc -l; shuf -i 1-100 | sort -n | tail -1; sort -S 1M --parallel=2 n | tail -1
