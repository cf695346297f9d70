(flock 9; echo in; sleep 0.1; echo out) 9>lock & sleep 0.03; flock lock echo second; wait; flock -n lock true; echo $?
