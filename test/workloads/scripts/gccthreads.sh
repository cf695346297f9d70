cat > t.c <<"X"
#include <pthread.h>
#include <stdio.h>
static long n; static pthread_mutex_t m=PTHREAD_MUTEX_INITIALIZER;
static void*f(void*a){for(int i=0;i<20000;i++){pthread_mutex_lock(&m);n++;pthread_mutex_unlock(&m);}return a;}
int main(){pthread_t t[8];for(int i=0;i<8;i++)pthread_create(t+i,0,f,0);for(int i=0;i<8;i++)pthread_join(t[i],0);printf("%ld\n",n);}
X
gcc -O2 -pthread t.c -o t && ./t
