/* Between a tree's angles in the order of theta and the places of their pairs. */

#pragma once

#include "tree.h"

static void sines(const float *restrict t, int64_t n, float *restrict c, float *restrict s) {
    for (int64_t i = 0; i < n; i++) { /* reduced to |r| <= pi/4 in double; the series is below fp32's rounding */
        double x = t[i], turns = rint(x * 0.63661977236758134308), r = x - turns * 1.57079632679489661923, q = r * r;
        double sn = r + r * q * (-1.0 / 6 + q * (1.0 / 120 + q * (-1.0 / 5040 + q * (1.0 / 362880))));
        double cs = 1 + q * (-0.5 + q * (1.0 / 24 + q * (-1.0 / 720 + q * (1.0 / 40320 + q * (-1.0 / 3628800)))));
        double quarter = turns - 4 * floor(turns * 0.25);
        double odd = quarter == 1 || quarter == 3 ? 1 : 0;
        double a = odd ? sn : cs, b = odd ? cs : sn;
        c[i] = (float)(quarter == 1 || quarter == 2 ? -a : a);
        s[i] = (float)(quarter >= 2 ? -b : b);
    }
    for (int64_t i = 0; i < n; i++)
        if (!(fabsf(t[i]) < 1e6f)) c[i] = cosf(t[i]), s[i] = sinf(t[i]);
}

/* Calls `COPY(place, angle, run)` for every run of angles of a tree that stand together in both orders. */
#define EACH_RUN(p, mirror, COPY)                                                                       \
    do {                                                                                                \
        int64_t angle = 0, mirror_place = 0;                                                            \
        for (int64_t stride = 1, level_stride = 1, l = 0; stride < (p)->d; stride *= 2) {                \
            if (stride / level_stride == LANES) level_stride = stride, l++;                             \
            int64_t h = stride / level_stride, tile_pairs = LANES / 2 / h;                              \
            int64_t n = mirror ? (stride < (p)->d - stride ? stride : (p)->d - stride)                  \
                               : ((p)->d - stride + 2 * stride - 1) / (2 * stride);                     \
            if (mirror) {                                                                               \
                COPY(mirror_place, angle, n);                                                           \
                mirror_place += padded(n);                                                              \
            } else                                                                                      \
                for (int64_t done = 0; done < n; done += tile_pairs) {                                  \
                    int64_t place = (p)->start[l] + done / tile_pairs * LANES + LANES - LANES / h;       \
                    COPY(place, angle + done, (n - done < tile_pairs ? n - done : tile_pairs));         \
                }                                                                                       \
            angle += n;                                                                                 \
        }                                                                                               \
    } while (0)

/* cos and sin of `sign` times one tree's angles, in their places; the identity where there is no pair. */
static void place_angles(const Shape *p, int mirror, const float *theta, float sign, float *c, float *s,
                         float *room) {
    int64_t n = mirror ? p->mirror : p->start[p->levels];
    for (int64_t i = 0; i < n; i++) c[i] = 1, s[i] = 0;
    if (!theta) return;
    float *cos_ = room, *sin_ = room + p->d;
    sines(theta, p->d - 1, cos_, sin_);
#define PLACE(place, from, run) \
    for (int64_t i = 0; i < (run); i++) c[(place) + i] = cos_[(from) + i], s[(place) + i] = sign * sin_[(from) + i]
    EACH_RUN(p, mirror, PLACE);
}

/* One tree's gradients: the sums of `num` parts, `step` apart, in order. */
static void collect_grad(const Shape *p, int mirror, const float *parts, int64_t step, int num, float sign,
                         float *out) {
    if (!out) return;
#define COLLECT(place, to, run)                                             \
    for (int64_t i = 0; i < (run); i++) {                                   \
        float total = 0;                                                    \
        for (int part = 0; part < num; part++) total += parts[part * step + (place) + i]; \
        out[(to) + i] = sign * total;                                       \
    }
    EACH_RUN(p, mirror, COLLECT);
}
