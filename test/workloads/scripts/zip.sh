mkdir z; seq 100 > z/a; zip -qr t.zip z; unzip -l t.zip | tail -1 | sed "s/^ *//"; rm -r z; unzip -qo t.zip; wc -l < z/a
