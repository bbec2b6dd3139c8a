/* One tile of LANES features: its rounds have strides h = 1, 2 .. LANES / 2, the pairs of h stand from place
   LANES - LANES / h. */

#pragma once

#include "vectors.h"

/* All pairs (i, j) of a tile at their `place`, leaves to root or root to leaves, each as soon as it can be: what
   is done leaves the registers early. The loops unroll completely. */
#define LEAVES_TO_ROOT(...)                                             \
    UNROLL for (int k = 0; k < LANES / 2; k++) {                        \
        UNROLL for (int h = 1; h < LANES; h *= 2) {                     \
            if ((k + 1) % h == 0) {                                     \
                int i = 2 * h * (k / h), j = i + h, place = LANES - LANES / h + k / h; \
                __VA_ARGS__                                             \
            }                                                           \
        }                                                               \
    }
#define ROOT_TO_LEAVES(...)                                             \
    UNROLL for (int k = 0; k < LANES / 2; k++) {                        \
        UNROLL for (int h = LANES / 2; h >= 1; h /= 2) {                \
            if (k % h == 0) {                                           \
                int i = 2 * h * (k / h), j = i + h, place = LANES - LANES / h + k / h; \
                __VA_ARGS__                                             \
            }                                                           \
        }                                                               \
    }

INLINE void turn(V *first, V *second, float c, float s) {
    V a = *first, b = *second;
    *first = a * c - b * s;
    *second = a * s + b * c;
}

INLINE void turn_back(V *first, V *second, float c, float s) {
    V a = *first, b = *second;
    *first = a * c + b * s;
    *second = b * c - a * s;
}

INLINE void fold(V *t, const float *c, const float *s) {
    LEAVES_TO_ROOT(turn(&t[i], &t[j], c[place], s[place]);)
}

INLINE void unfold(V *t, const float *c, const float *s, int smallest) { /* strides down to `smallest` */
    ROOT_TO_LEAVES(if (h >= smallest) turn(&t[i], &t[j], c[place], s[place]);)
}

/* Undo an unfolding (by folding) or a folding of x and g together; adds this tile's angle gradients, which come
   from x_i g_j - x_j g_i before or after the turn. Not to hold 2 LANES vectors at once, the lowest level reads and
   writes as it goes (elsewhere NULL). Unfolded: x stands one round before the end (the last one is not needed for
   its own gradients), the features of that round still lie in `x_from`, and g goes to `g_to` but for its leader.
   Folded: all features but the leaders still lie in `x_from` and `g_from`. */
INLINE void undo_unfold(V *x, V *g, const float *c, const float *s, float *grad, const V *x_from, V *g_to) {
    V r[LANES];
    r[LANES - 1] = (V){0};
    LEAVES_TO_ROOT(if (h == 1 && x_from) x[j] = x_from[j];
                   else turn_back(&x[i], &x[j], c[place], s[place]);
                   turn_back(&g[i], &g[j], c[place], s[place]);
                   if (g_to) g_to[j] = g[j];
                   r[place] = x[i] * g[j] - x[j] * g[i];)
    *(VU *)grad += lane_sums(r);
}

INLINE void undo_fold(V *x, V *g, const float *c, const float *s, float *grad, const V *x_from, const V *g_from) {
    V r[LANES];
    r[LANES - 1] = (V){0};
    ROOT_TO_LEAVES(if (x_from) x[j] = x_from[j], g[j] = g_from[j];
                   r[place] = x[i] * g[j] - x[j] * g[i];
                   turn_back(&x[i], &x[j], c[place], s[place]);
                   turn_back(&g[i], &g[j], c[place], s[place]);)
    *(VU *)grad += lane_sums(r);
}
