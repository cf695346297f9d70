printf "l1\nl2\nl3" | while read -r x; do echo "[$x]"; done; echo a b c | (read x y; echo $y); read -t 0.05 z < <(sleep 1); echo $? | sed "s/1.*/1xx/"
