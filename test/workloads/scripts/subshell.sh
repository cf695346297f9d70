x=1; (x=2; echo $x); echo $x; y=$(echo a; echo b); echo "$y"; echo $BASH_SUBSHELL; (echo $BASH_SUBSHELL)
