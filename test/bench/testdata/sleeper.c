// A program that waits for ever: what an idle sandbox costs.
#include <unistd.h>

int main(void) {
	for (;;) sleep(1000);
}
