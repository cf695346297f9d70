mkdir d; touch d/{a,b,c}; echo hello > d/h; ls d; ls -la --time-style=+ d | tail -n +2; ls -i d | wc -l; ls /nonexistent; echo $?
