uname -s -m -n -o; hostname; hostname -f 2>/dev/null | head -c 8; echo; arch; nproc | grep -c "[0-9]"
