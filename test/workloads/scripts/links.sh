mkdir -p a/b; touch a/b/c; ln -s ../b/c a/b/l; readlink -f a/b/l; cp -a a z; ls -R z; mv z y; rm -r y; ls; rmdir a 2>&1; rm -rf a; ls | wc -l
