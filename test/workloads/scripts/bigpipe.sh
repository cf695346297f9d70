seq 1 200000 | cat | cat | cat | sort -n | uniq | tac | tac | cat | wc -l | cat
