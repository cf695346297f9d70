unshare -u sh -c "hostname inner; hostname"; hostname; unshare -m sh -c "mount -t tmpfs t /mnt; touch /mnt/x; ls /mnt"; ls /mnt; unshare -p -f sh -c "echo \$\$"; unshare -n ip -o link | wc -l
