seq 20000 | xz -c | xz -dc | md5sum; seq 10 > f; xz f; xzcat f.xz | wc -l; ls
