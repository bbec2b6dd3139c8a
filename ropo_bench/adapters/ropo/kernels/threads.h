/* torch's own OpenMP runtime, handed over by `big_threads`: one pool of threads, whichever compiler was used. */

#pragma once

#include <stddef.h>

#define SERIAL_NUMBERS 32768 /* fewer are not worth a second thread */

typedef void (*Parallel)(void (*)(void *), void *, unsigned, unsigned);
typedef int (*Count)(void);
static Parallel parallel; /* NULL: one thread */
static Count thread_number, team_size;

void big_threads(Parallel run, Count number, Count size) { parallel = run, thread_number = number, team_size = size; }
