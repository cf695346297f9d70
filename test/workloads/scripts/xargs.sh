seq 20 | xargs -n 5 echo; seq 6 | xargs -P 3 -I{} sh -c "echo {} > x{}"; cat x1 x2 x3 x4 x5 x6; printf "a b\0c\0" | xargs -0 -n1 echo; seq 3 | xargs false; echo $?
