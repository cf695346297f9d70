ip -o -4 addr show lo | cut -d" " -f1-7; ip -o link show lo | grep -o "LOOPBACK,UP"; ip route; ip -6 addr show lo | grep -c ::1
