seq 50000 > f; bzip2 -k f; bunzip2 -c f.bz2 | cmp - f && echo same; sha256sum < f
