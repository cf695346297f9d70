df --output=target /tmp /dev/shm | tail -2
