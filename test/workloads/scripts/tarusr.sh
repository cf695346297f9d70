tar --sort=name -C /usr/share -cf - perl5 doc 2>/dev/null | sha256sum; mkdir o; tar -C /usr/share -cf - perl5 | tar -C o -xf -; diff -r /usr/share/perl5 o/perl5 && echo same
