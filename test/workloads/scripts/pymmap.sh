python3 -c "import mmap,os
f=open('f','wb+'); f.write(b'a'*8192); f.flush(); m=mmap.mmap(f.fileno(),0); m[0:5]=b'hello'; m.flush(); print(open('f','rb').read(8)); m.resize(4096); print(os.path.getsize('f')); m.close()"
