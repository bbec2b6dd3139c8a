/* Vectors of LANES floats by the compiler's own extensions, so that any CPU will do; rows in fp32 or bf16. */

#pragma once

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512F__)
#define LANES 16
#define LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif defined(__AVX__)
#define LANES 8
#define LOW 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH 4, 12, 5, 13, 6, 14, 7, 15
#else
#define LANES 4
#define LOW 0, 4, 1, 5
#define HIGH 2, 6, 3, 7
#endif
#define MAX_LEVELS 32
#define AHEAD_BYTES 512 /* what a row is read ahead: LANES rows are more than the CPU follows by itself */

typedef float V __attribute__((vector_size(4 * LANES), may_alias));
typedef uint32_t W __attribute__((vector_size(4 * LANES), may_alias));
typedef uint16_t H __attribute__((vector_size(2 * LANES), may_alias));
typedef float VU __attribute__((vector_size(4 * LANES), may_alias, aligned(2)));
typedef uint16_t HU __attribute__((vector_size(2 * LANES), may_alias, aligned(2)));

#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (W){__VA_ARGS__})
#endif
#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

INLINE void zip_halves(V *t) { /* one stage of a transposition */
    V u[LANES];
    UNROLL for (int k = 0; k < LANES / 2; k++) {
        u[2 * k] = SHUFFLE(t[k], t[k + LANES / 2], LOW);
        u[2 * k + 1] = SHUFFLE(t[k], t[k + LANES / 2], HIGH);
    }
    UNROLL for (int k = 0; k < LANES; k++) t[k] = u[k];
}

INLINE void transpose(V *t) {
    UNROLL for (int stage = 1; stage < LANES; stage *= 2) zip_halves(t);
}

INLINE V lane_sums(V *t) { /* lane k = the sum of vector k's lanes */
    UNROLL for (int half = LANES / 2; half >= 1; half /= 2) {
        UNROLL for (int k = 0; k < LANES / 2; k++) {
            if (k < half) t[k] = SHUFFLE(t[k], t[k + half], LOW) + SHUFFLE(t[k], t[k + half], HIGH);
        }
    }
    return t[0];
}

INLINE V load(const char *row, int64_t feature, int bf16) {
    if (!bf16) return *(const VU *)(row + 4 * feature);
    return (V)(__builtin_convertvector(*(const HU *)(row + 2 * feature), W) << 16);
}

INLINE void store(char *row, int64_t feature, V v, int bf16) {
    if (!bf16) {
        *(VU *)(row + 4 * feature) = v;
        return;
    }
    W bits = (W)v, nan = (W)(v != v); /* to nearest, ties to even */
    bits = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    bits = (bits & ~nan) | (nan & 0x7fc0);
    *(HU *)(row + 2 * feature) = __builtin_convertvector(bits, H);
}

/* The same where fewer than LANES features may be left before `end`; zeros stand for those beyond. */
INLINE V load_some(const char *row, int64_t feature, int64_t end, int bf16) {
    if (feature + LANES <= end) return load(row, feature, bf16);
    float buffer[LANES] = {0};
    size_t size = bf16 ? 2 : 4;
    memcpy(buffer, row + size * feature, size * (end - feature));
    return load((const char *)buffer, 0, bf16);
}

INLINE void store_some(char *row, int64_t feature, int64_t end, V v, int bf16) {
    if (feature + LANES <= end) {
        store(row, feature, v, bf16);
        return;
    }
    float buffer[LANES];
    size_t size = bf16 ? 2 : 4;
    store((char *)buffer, 0, v, bf16);
    memcpy(row + size * feature, buffer, size * (end - feature));
}

/* The tile of features first .. first + LANES of one slab. */
INLINE void load_tile(V *t, char *const *rows, int64_t first, int64_t d, int bf16) {
    UNROLL for (int k = 0; k < LANES; k++) __builtin_prefetch(rows[k] + (bf16 ? 2 : 4) * first + AHEAD_BYTES, 0, 2);
    if (first + LANES <= d) {
        UNROLL for (int k = 0; k < LANES; k++) t[k] = load(rows[k], first, bf16);
    } else for (int k = 0; k < LANES; k++) t[k] = load_some(rows[k], first, d, bf16);
    transpose(t);
}

INLINE void store_tile(V *t, char *const *rows, int64_t first, int64_t d, int bf16) {
    transpose(t);
    if (first + LANES <= d) {
        UNROLL for (int k = 0; k < LANES; k++) store(rows[k], first, t[k], bf16);
    } else for (int k = 0; k < LANES; k++) store_some(rows[k], first, d, t[k], bf16);
}
