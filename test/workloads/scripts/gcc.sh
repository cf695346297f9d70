cat > h.c <<"X"
#include <stdio.h>
int main(int c,char**v){printf("hello %d %s\n",c,v[1]);return 7;}
X
gcc -O2 -Wall -o h h.c && ./h world; echo $?
