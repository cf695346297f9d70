seq 100 | head -3; seq 100 | tail -n +99; seq 10 | head -c 5; yes | head -2
