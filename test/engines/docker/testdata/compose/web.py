# A web server that counts its visitors in Redis and keeps them in PostgreSQL.
import socket
import subprocess


def redis(*words):
    with socket.create_connection(("redis", 6379), 10) as s:
        s.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        return s.makefile("rb").readline().strip().decode()


def sql(text):
    return subprocess.run(["psql", "-h", "db", "-U", "postgres", "-qAtc", text], check=True, capture_output=True, text=True).stdout.strip()


sql("create table if not exists visits (n int)")
server = socket.create_server(("", 8000))
print("ready", flush=True)
while True:
    conn, _ = server.accept()
    with conn:
        conn.recv(4096)
        n = redis(b"INCR", b"visits")
        sql("insert into visits values (%s)" % n[1:])
        text = "redis %s, postgres %s\n" % (n, sql("select count(*) from visits"))
        conn.sendall(("HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)).encode())
