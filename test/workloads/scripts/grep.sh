grep -c root /etc/passwd; grep -rl "Debian" /etc/issue /etc/os-release; seq 100 | grep -E "^(1|2)5$"; grep -q nothing /etc/passwd; echo $?; echo aXbXc | grep -o X | wc -l
