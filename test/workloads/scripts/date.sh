TZ=UTC date -d @1000000000 "+%F %T %A"; TZ=Europe/Berlin date -d @1700000000 +%c; date -u -d "2024-02-29 + 1 year" +%F
