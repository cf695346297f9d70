f() { echo "$#:$*"; }; f a "b c" d; set -- x y; echo $2; exit 3
