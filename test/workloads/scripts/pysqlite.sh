python3 -c "import sqlite3
c=sqlite3.connect('d.db'); c.execute('create table t(a,b)'); c.executemany('insert into t values(?,?)',[(i,i*i) for i in range(1000)]); c.commit(); print(c.execute('select sum(b) from t where a%2=0').fetchone()); c.close()"; ls -la --time-style=+ d.db | cut -d" " -f1,5
