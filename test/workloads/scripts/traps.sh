trap "echo usr1" USR1; kill -USR1 $$; trap "echo bye" EXIT; trap "" TERM; kill -TERM $$; echo alive; (trap - TERM; kill -TERM $BASHPID; echo no); echo $?
