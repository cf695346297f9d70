find /usr -xdev | wc -l; find /usr -xdev -printf "%m %s %p\n" | LC_ALL=C sort | sha256sum
