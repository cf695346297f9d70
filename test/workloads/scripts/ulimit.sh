ulimit -n; ulimit -Sn 100; ulimit -n; ulimit -c; (ulimit -t 100; ulimit -t); bash -c "ulimit -v 200000; python3 -c \"x=bytearray(300000000)\" 2>&1 | tail -1"
