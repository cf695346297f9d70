sleep 100 & p=$!; kill $p; wait $p; echo $?; sleep 100 & p=$!; kill -STOP $p; sleep 0.05; ps -o stat= -p $p | cut -c1; kill -CONT $p; kill -9 $p; wait $p 2>/dev/null; echo $?
