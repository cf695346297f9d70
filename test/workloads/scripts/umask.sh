umask; umask 077; touch f; stat -c %a f; mkdir d; stat -c %a d; umask -S
