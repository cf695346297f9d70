seq 1000 | awk '{s+=$1; q+=$1*$1} END {print s, q, NR}'; printf "a:1\nb:2\n" | gawk -F: '{a[$1]=$2} END {n=asorti(a,k); for(i=1;i<=n;i++) print k[i],a[k[i]]}'
