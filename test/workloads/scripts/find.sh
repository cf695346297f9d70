find /etc -xdev -type f | LC_ALL=C sort | sha256sum; find /usr/bin -name "b*" -type f -size +10k | LC_ALL=C sort | head -5; find /usr/share/doc -maxdepth 1 -type d | wc -l
