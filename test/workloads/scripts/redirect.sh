echo out; echo err >&2; { echo a; echo b >&2; } 2>&1 | sort; echo x > f; echo y >> f; cat < f; exec 5>g; echo five >&5; exec 5>&-; cat g; : > f; stat -c %s f; echo z >| f; set -C; echo q > f; echo $?
