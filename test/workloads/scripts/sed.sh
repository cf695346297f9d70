seq 20 | sed -n "5,8p;\$p"; echo "hello world" | sed -E "s/(\w+) (\w+)/\2 \1/"; seq 5 > f; sed -i "3d" f; cat f
