seq 1000 > f; split -l 100 f p; ls p* | wc -l; cat p* | cmp - f && echo same; csplit -s f 500; wc -l xx00 xx01
