id; id -u nobody; whoami; groups; getent passwd root; getent group 0
