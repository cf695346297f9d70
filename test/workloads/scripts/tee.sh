echo x | tee a b | cat - a b; seq 3 | tee >(wc -l > n) > /dev/null; sleep 0.2; cat n
