head -c 100000 /dev/zero | base64 | sha256sum; echo hello | base64 | base64 -d
