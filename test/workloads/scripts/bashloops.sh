for ((i=0;i<200;i++)); do a[i]=$((i*i)); done; echo ${#a[@]} ${a[199]}; while read x y; do echo "$y $x"; done <<< "one two"
