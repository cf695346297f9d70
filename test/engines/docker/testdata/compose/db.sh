# A PostgreSQL server that makes its database at the first start.
set -e
bin=/usr/lib/postgresql/15/bin
chown postgres /data
if [ ! -e "$PGDATA" ]; then
	setpriv --reuid=postgres --regid=postgres --clear-groups $bin/initdb --auth=trust -D "$PGDATA"
	echo 'host all all all trust' >>"$PGDATA/pg_hba.conf"
fi
exec setpriv --reuid=postgres --regid=postgres --clear-groups $bin/postgres -D "$PGDATA" -h '*' -k /tmp
