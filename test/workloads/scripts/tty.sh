tty; echo $?; test -t 0; echo $?; python3 -c "import pty,os,sys
pid,fd=pty.fork()
if pid==0: os.execvp('bash',['bash','-c','tty; test -t 0 && echo istty; stty -a | grep -o icanon; read x; echo got $x'])
os.write(fd,b'typed\n'); o=b''
while True:
  try: d=os.read(fd,1000)
  except OSError: break
  if not d: break
  o+=d
print(o.decode().replace('\r',''))"
