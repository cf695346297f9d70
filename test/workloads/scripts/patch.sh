seq 10 > a; sed "s/5/five/" a > b; diff -u --label a --label b a b > p; cat p; patch -s a < p; cmp a b && echo patched
