seq 100000 | gzip -n | sha256sum; seq 100000 | gzip | gunzip | tail -1; seq 1000 > f; gzip f; zcat f.gz | wc -l
