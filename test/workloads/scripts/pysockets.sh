python3 -c "import socket,threading,os
s=socket.create_server(('127.0.0.1',0)); 
def srv():
  c,_=s.accept(); d=b''
  while len(d)<1000000: d+=c.recv(65536)
  c.sendall(str(len(d)).encode()); c.close()
t=threading.Thread(target=srv); t.start(); c=socket.create_connection(s.getsockname()); c.sendall(b'x'*1000000); print(c.recv(100)); t.join()
u=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); u.bind(('127.0.0.1',0)); u.sendto(b'dg',u.getsockname()); print(u.recvfrom(10)[0])
a,b=socket.socketpair(); a.send(b'pair'); print(b.recv(9))
x=socket.socket(socket.AF_UNIX); x.bind('sock'); x.listen(); y=socket.socket(socket.AF_UNIX); y.connect('sock'); z,_=x.accept(); y.send(b'u'); print(z.recv(4))
s6=socket.create_server(('::1',0),family=socket.AF_INET6); c6=socket.create_connection(s6.getsockname()[:2]); print(c6.getpeername()[0])
print(socket.gethostbyname('localhost'))"
