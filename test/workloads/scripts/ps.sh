# The list is taken before the pipeline is there, which may not have started all of it yet.
sleep 5 & sleep 0.3; list=$(ps -eo comm=); echo "$list" | sort | uniq -c | sed "s/^ *//"; ps -o pid= -p $$ | tr -d " "; kill %1
