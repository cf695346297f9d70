echo 1 > a; mv a b; cat b; mkdir d; mv b d/; ls d; mv -n d/b d/b2; ls d; cp -r d e; diff -r d e && echo same; mv -T d f; ls
