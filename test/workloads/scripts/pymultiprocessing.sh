python3 -c "import multiprocessing as mp
def f(x): return x*x
if __name__=='__main__':
  with mp.Pool(3) as p: print(p.map(f,range(10)))
  q=mp.Queue(); p=mp.Process(target=q.put,args=(5,)); p.start(); print(q.get()); p.join(); print(p.exitcode)
  v=mp.Value('i',0)
  def g():
    with v.get_lock(): v.value+=1
  ps=[mp.Process(target=g) for _ in range(5)]; [x.start() for x in ps]; [x.join() for x in ps]; print(v.value)"
