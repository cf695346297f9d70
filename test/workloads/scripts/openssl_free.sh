head -c 1000000 /dev/zero | md5sum; head -c 1000000 /dev/zero | sha1sum; head -c 1000000 /dev/zero | sha512sum | cut -c1-20; echo abc | cksum
