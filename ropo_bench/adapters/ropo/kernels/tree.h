/* Both trees over the levels of one slab, forth and back; the mirror tree. */

#pragma once

#include "tiles.h"

typedef struct {
    int64_t d, count[MAX_LEVELS], start[MAX_LEVELS]; /* features of a level, where they begin */
    int levels;
    int64_t mirror; /* places of the mirror tree's rounds, each padded to whole vectors */
} Shape;

typedef struct {
    const float *c, *s;
    float *grad;
} Angles; /* of one tree */

static int64_t padded(int64_t n) { return (n + LANES - 1) / LANES * LANES; }

static Shape make_shape(int64_t d) {
    Shape p = {.d = d, .count = {d}};
    while (p.count[p.levels] > 1) {
        int64_t tiles = padded(p.count[p.levels]) / LANES;
        p.start[p.levels + 1] = p.start[p.levels] + tiles * LANES;
        p.count[++p.levels] = tiles;
    }
    for (int64_t stride = 1; stride < d; stride *= 2) p.mirror += padded(stride < d - stride ? stride : d - stride);
    return p;
}

INLINE void read_tile(V *t, const Shape *p, const V *a, int l, int64_t tile, int unfolds) {
    const V *from = a + p->start[l] + tile * LANES;
    t[0] = unfolds ? a[p->start[l + 1] + tile] : from[0];
    UNROLL for (int k = 1; k < LANES; k++) t[k] = from[k];
}

INLINE void write_tile(const V *t, const Shape *p, V *a, int l, int64_t tile, int folds) {
    V *to = a + p->start[l] + tile * LANES;
    a[folds ? p->start[l + 1] + tile : p->start[l] + tile * LANES] = t[0];
    UNROLL for (int k = 1; k < LANES; k++) to[k] = t[k];
}

/* Fold level by level up to the root; the first level comes from `rows`. */
INLINE void fold_all(const Shape *p, V *a, Angles tree, char *const *rows, int bf16) {
    V t[LANES];
    for (int l = 0; l < p->levels; l++) {
        for (int64_t tile = 0; tile < p->count[l + 1]; tile++) {
            int64_t at = p->start[l] + tile * LANES;
            if (l == 0) load_tile(t, rows, at, p->d, bf16);
            else read_tile(t, p, a, l, tile, 0);
            fold(t, tree.c + at, tree.s + at);
            write_tile(t, p, a, l, tile, 1);
        }
    }
}

INLINE void unfold_upper(const Shape *p, V *a, Angles tree) {
    V t[LANES];
    for (int l = p->levels - 1; l > 0; l--) {
        for (int64_t tile = 0; tile < p->count[l + 1]; tile++) {
            int64_t at = p->start[l] + tile * LANES;
            read_tile(t, p, a, l, tile, 1);
            unfold(t, tree.c + at, tree.s + at, 1);
            write_tile(t, p, a, l, tile, 0);
        }
    }
}

INLINE void unfold_lowest(const Shape *p, const V *a, Angles tree, char *const *rows, int bf16) {
    V t[LANES];
    for (int64_t tile = 0; tile < p->count[1]; tile++) {
        read_tile(t, p, a, 0, tile, 1);
        unfold(t, tree.c + tile * LANES, tree.s + tile * LANES, 1);
        store_tile(t, rows, tile * LANES, p->d, bf16);
    }
}

/* Undo the upper levels of an unfolding (going up) or a folding (going down) of x and g together. */
INLINE void undo_upper(const Shape *p, V *x, V *g, Angles tree, int unfolding) {
    V t[LANES], u[LANES];
    for (int n = 1; n < p->levels; n++) {
        int l = unfolding ? n : p->levels - n;
        for (int64_t tile = 0; tile < p->count[l + 1]; tile++) {
            int64_t at = p->start[l] + tile * LANES;
            read_tile(t, p, x, l, tile, !unfolding);
            read_tile(u, p, g, l, tile, !unfolding);
            if (unfolding) undo_unfold(t, u, tree.c + at, tree.s + at, tree.grad + at, NULL, NULL);
            else undo_fold(t, u, tree.c + at, tree.s + at, tree.grad + at, NULL, NULL);
            write_tile(t, p, x, l, tile, unfolding);
            write_tile(u, p, g, l, tile, unfolding);
        }
    }
}

/* ---- the mirror tree: plain rounds on the features in their natural places ---- */

static void leaders_down(const Shape *p, V *a) {
    for (int l = p->levels - 1; l >= 0; l--)
        for (int64_t tile = 0; tile < p->count[l + 1]; tile++)
            a[p->start[l] + tile * LANES] = a[p->start[l + 1] + tile];
}

static void leaders_up(const Shape *p, V *a) {
    for (int l = 0; l < p->levels; l++)
        for (int64_t tile = 0; tile < p->count[l + 1]; tile++)
            a[p->start[l + 1] + tile] = a[p->start[l] + tile * LANES];
}

/* All rounds, smallest stride first or last; with g both are turned back and the angle gradients added. */
static void mirror_all(const Shape *p, V *x, V *g, Angles tree, int ascending) {
    int64_t stride = 1, place = 0;
    if (!ascending) {
        while (2 * stride < p->d) place += padded(stride), stride *= 2;
    }
    while (stride >= 1 && stride < p->d) {
        int64_t n = stride < p->d - stride ? stride : p->d - stride;
        for (int64_t base = 0; base < n; base += LANES) {
            int some = n - base < LANES ? (int)(n - base) : LANES;
            const float *c = tree.c + place + base, *s = tree.s + place + base;
            V *x0 = x + base, *x1 = x0 + stride;
            if (g) { /* back */
                V *g0 = g + base, *g1 = g0 + stride, r[LANES] = {{0}};
                for (int k = 0; k < some; k++) {
                    r[k] = x0[k] * g1[k] - x1[k] * g0[k];
                    turn_back(&g0[k], &g1[k], c[k], s[k]);
                    turn_back(&x0[k], &x1[k], c[k], s[k]);
                }
                *(VU *)(tree.grad + place + base) += lane_sums(r);
            } else for (int k = 0; k < some; k++) turn(&x0[k], &x1[k], c[k], s[k]);
        }
        if (ascending) place += padded(n), stride *= 2;
        else stride /= 2, place -= padded(stride);
    }
}

static void load_all(const Shape *p, V *a, char *const *rows, int bf16) {
    V t[LANES];
    for (int64_t tile = 0; tile < p->count[1]; tile++) {
        load_tile(t, rows, tile * LANES, p->d, bf16);
        write_tile(t, p, a, 0, tile, 0);
    }
}

static void store_all(const Shape *p, const V *a, char *const *rows, int bf16) {
    V t[LANES];
    for (int64_t tile = 0; tile < p->count[1]; tile++) {
        read_tile(t, p, a, 0, tile, 0);
        store_tile(t, rows, tile * LANES, p->d, bf16);
    }
}
