touch -d "2001-02-03 04:05:06 UTC" f; TZ=UTC stat -c %y f; touch -r f g; TZ=UTC stat -c %Y g; touch -a -d @5 f; stat -c "%X %Y" f; truncate -s 12345 f; stat -c %s f
