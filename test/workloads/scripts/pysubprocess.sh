python3 -c "import subprocess as s
print(s.run(['sort'],input=b'b\na\n',capture_output=True).stdout); print(s.call(['false'])); p=s.Popen(['cat'],stdin=-1,stdout=-1); print(p.communicate(b'x'*100000)[0].count(b'x'))
try: s.run(['sleep','9'],timeout=0.1)
except s.TimeoutExpired: print('timeout')
print(s.getoutput('echo a; echo b >&2'))"
