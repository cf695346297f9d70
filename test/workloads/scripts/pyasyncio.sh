python3 -c "import asyncio
async def h(r,w):
  d=await r.readline(); w.write(d.upper()); await w.drain(); w.close()
async def main():
  s=await asyncio.start_server(h,'127.0.0.1',0); p=s.sockets[0].getsockname()[1]
  async def c(i):
    r,w=await asyncio.open_connection('127.0.0.1',p); w.write(b'hi %d\n'%i); d=await r.read(); w.close(); return d
  print(sorted(await asyncio.gather(*[c(i) for i in range(10)])))
  pr=await asyncio.create_subprocess_exec('echo','sub',stdout=-1); print((await pr.communicate())[0])
asyncio.run(main())"
