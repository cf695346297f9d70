touch f; chmod 4751 f; stat -c "%a %U %G %s %F" f; chown 1000:1001 f; stat -c "%u:%g %a" f; ln f g; stat -c %h f; ln -s f l; readlink l; stat -c %F l
