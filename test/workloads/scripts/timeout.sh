exec 2>/dev/null; timeout 0.1 sleep 5; echo $?; (timeout -s KILL 0.1 sleep 5) 2>/dev/null; echo $?; timeout 5 true; echo $?
