mkdir m; mount -t tmpfs -o size=1m tmpfs m; echo hi > m/f; findmnt -n -o FSTYPE m; umount m; ls m | wc -l; mount --bind /etc m; [ -f m/passwd ] && echo bound; umount m; mount | grep -c " /tmp "
