for i in $(seq 300); do echo $i > f$i; done; ls | wc -l; cat f* | sort -n | md5sum; rm f*; ls | wc -l
