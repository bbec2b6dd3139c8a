/* RMSNorm, SwiGLU and rotary positions on CPUs: each forward and backward is one pass over memory.

   All arithmetic is fp32; the suffix names the type of the tensors, f = float32 and b = bfloat16 (rounded where
   transformers' own code rounds). OpenMP's functions are left to the runtime that torch has loaded already. */

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef uint16_t bf16;

static inline float load_f(const float *p) { return *p; }
static inline void store_f(float *p, float v) { *p = v; }
static inline float round_f(float v) { return v; }

static inline float load_b(const bf16 *p) {
    uint32_t bits = (uint32_t)*p << 16;
    float v;
    memcpy(&v, &bits, 4);
    return v;
}
static inline void store_b(bf16 *p, float v) { /* to nearest even; NaN stays NaN */
    uint32_t bits;
    memcpy(&bits, &v, 4);
    *p = v != v ? 0x7fc0 : (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}
static inline float round_b(float v) {
    bf16 r;
    store_b(&r, v);
    return load_b(&r);
}

/* e^x to 2 units in the last place, written so that compilers make vectors of it (Cephes' expf: Cody-Waite reduction,
   degree 5); NaN stays NaN, and x is kept where the result is a normal number. */
static inline float exponential(float x) {
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    float n = rintf(x * 1.44269504f);
    float r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + (r + 1.0f);
    int32_t bits = ((int32_t)(n != n ? 0.0f : n) + 127) << 23;
    float power;
    memcpy(&power, &bits, 4);
    return p * power;
}

/* N rows of D numbers, contiguous. y = w x / rms(x), and 1 / rms(x) of each row. */
void norm_forward(const float *x, const float *w, float *y, float *inverse, int64_t n, int64_t d, float eps) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) {
        const float *a = x + i * d;
        float *b = y + i * d, sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t j = 0; j < d; j++) sum += a[j] * a[j];
        float r = 1.0f / sqrtf(sum / d + eps);
        inverse[i] = r;
#pragma omp simd
        for (int64_t j = 0; j < d; j++) b[j] = w[j] * (a[j] * r);
    }
}

/* gx = r (w g - x r^2 <w g, x> / D), r = 1 / rms(x). */
void norm_backward(const float *x, const float *w, const float *inverse, const float *g, float *gx, int64_t n,
                   int64_t d) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) {
        const float *a = x + i * d, *c = g + i * d;
        float *b = gx + i * d, sum = 0, r = inverse[i];
#pragma omp simd reduction(+ : sum)
        for (int64_t j = 0; j < d; j++) sum += c[j] * w[j] * a[j];
        float along = sum * r * r / d;
#pragma omp simd
        for (int64_t j = 0; j < d; j++) b[j] = r * (c[j] * w[j] - a[j] * along);
    }
}

/* swiglu: n numbers each, y = silu(a) u; the backward needs a and u only.
   rotary: (B, T, H, D) turned by the angles of (B, T, D), one half of D against the other; sign -1 turns back. Strides
   in numbers of batch, token and head; the angles' batch stride may be 0. */
#define KERNELS(S, T)                                                                                              \
    void swiglu_forward_##S(const T *a, const T *u, T *y, int64_t n) {                                             \
        _Pragma("omp parallel for simd schedule(static)") for (int64_t i = 0; i < n; i++) {                        \
            float v = load_##S(a + i);                                                                             \
            store_##S(y + i, round_##S(v / (1.0f + exponential(-v))) * load_##S(u + i));                           \
        }                                                                                                          \
    }                                                                                                              \
    void swiglu_backward_##S(const T *a, const T *u, const T *g, T *ga, T *gu, int64_t n) {                        \
        _Pragma("omp parallel for simd schedule(static)") for (int64_t i = 0; i < n; i++) {                        \
            float v = load_##S(a + i), s = 1.0f / (1.0f + exponential(-v)), d = load_##S(g + i);                   \
            store_##S(ga + i, round_##S(d * load_##S(u + i)) * s * (1.0f + v * (1.0f - s)));                       \
            store_##S(gu + i, d * round_##S(v * s));                                                               \
        }                                                                                                          \
    }                                                                                                              \
    void rotary_##S(const T *x, const float *cosine, const float *sine, T *y, const int64_t *shape,                \
                    const int64_t *from, const int64_t *to, int64_t angles, float sign) {                          \
        int64_t tokens = shape[1], heads = shape[2], d = shape[3], half = d / 2;                                   \
        _Pragma("omp parallel for schedule(static)") for (int64_t i = 0; i < shape[0] * tokens; i++) {             \
            int64_t row = i / tokens, token = i % tokens;                                                          \
            const float *c = cosine + row * angles + token * d, *s = sine + row * angles + token * d;              \
            for (int64_t h = 0; h < heads; h++) {                                                                  \
                const T *p = x + row * from[0] + token * from[1] + h * from[2];                                    \
                T *q = y + row * to[0] + token * to[1] + h * to[2];                                                \
                _Pragma("omp simd") for (int64_t j = 0; j < half; j++) {                                           \
                    float a = load_##S(p + j), b = load_##S(p + j + half);                                         \
                    store_##S(q + j, a * c[j] - sign * b * s[j]);                                                  \
                    store_##S(q + j + half, b * c[j] + sign * a * s[j]);                                           \
                }                                                                                                  \
            }                                                                                                      \
        }                                                                                                          \
    }

KERNELS(f, float)
KERNELS(b, bf16)
