// A thread has a number mean one file and another by turns, at any moment of a call. turn is 0 meanwhile.
#pragma once
#include "echoes.h"

static atomic_int turn, turn_seen;
static int turning[3];
static void *turns(void *v) {
	for (int i = 1; i <= 2000; i++) {
		turn = 0;
		// The first has the call made anew, the second comes in the midst of that.
		CHECK(dup2(turning[~i & 1], turning[2]) == turning[2]);
		spin(rnd() % 1000);
		CHECK(dup2(turning[i & 1], turning[2]) == turning[2]);
		turn = i;
		for (int n = 0; turn_seen < i; n++)
			if (n > 3000) sched_yield();
		spin(rnd() % 2000);
	}
	return v;
}
