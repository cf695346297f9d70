env | sort | grep -v "^_=\|SHLVL\|PWD"; FOO=bar env | grep FOO; env -i A=1 /usr/bin/env
