seq 1 10 > a; seq 5 15 > b; comm -12 a b; diff a b; echo $?; join a b | tail -1; paste a b | head -2
