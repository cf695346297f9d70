python3 -c "import signal,os,time
def h(s,f): print('got',s)
signal.signal(signal.SIGUSR1,h); os.kill(os.getpid(),signal.SIGUSR1)
signal.signal(signal.SIGALRM,h); signal.setitimer(signal.ITIMER_REAL,0.02); signal.pause()
print(signal.sigtimedwait([signal.SIGUSR2],0.01))"
