coproc CAT { cat; }; echo hi >&${CAT[1]}; read -u ${CAT[0]} x; echo got $x; exec {CAT[1]}>&-; wait
