python3 -c "import threading,queue
q=queue.Queue(); r=[]
def w():
  while True:
    x=q.get()
    if x is None: break
    r.append(x*2)
ts=[threading.Thread(target=w) for _ in range(6)]; [t.start() for t in ts]; [q.put(i) for i in range(500)]; [q.put(None) for _ in ts]; [t.join() for t in ts]; print(sum(r),len(r)); e=threading.Event(); print(e.wait(0.01))"
