/* out = z * scale + shift, and back. */

#pragma once

#include "threads.h"
#include "vectors.h"

#define BLOCK 32 /* rows whose sum is taken first: a sum of sums rounds less */

typedef struct {
    const char *z, *g;
    char *out;
    const float *scale, *shift;
    float *sums; /* a part's (2, O): the sums of all its rows, of one block */
    int64_t num_tokens, o;
    int bf16, parts;
} ScaleJob;

INLINE void scale_rows(const ScaleJob *job, int64_t first, int64_t end, float *sums, int bf16) {
    int64_t o = job->o, bytes = o * (bf16 ? 2 : 4);
    float *block = sums + o;
    for (int64_t row = first; row < end; row++) {
        const char *z = job->z + row * bytes, *g = job->g ? job->g + row * bytes : NULL;
        char *out = job->out + row * bytes;
        for (int64_t at = 0; at < o; at += LANES) {
            V value = load_some(z, at, o, bf16), by = load_some((const char *)job->scale, at, o, 0);
            if (g) {
                V slope = load_some(g, at, o, bf16);
                store_some((char *)block, at, o, load_some((const char *)block, at, o, 0) + slope * value, 0);
                value = slope * by;
            } else {
                value *= by;
                if (job->shift) value += load_some((const char *)job->shift, at, o, 0);
            }
            store_some(out, at, o, value, bf16);
        }
        if (g && ((row - first) % BLOCK == BLOCK - 1 || row == end - 1))
            for (int64_t at = 0; at < o; at++) sums[at] += block[at], block[at] = 0;
    }
}

static void scale_part(const ScaleJob *job, int part) {
    int64_t first = job->num_tokens * part / job->parts, end = job->num_tokens * (part + 1) / job->parts;
    float *sums = job->sums + 2 * job->o * part;
    if (job->bf16) scale_rows(job, first, end, sums, 1);
    else scale_rows(job, first, end, sums, 0);
}

static void scale_team(void *pointer) {
    const ScaleJob *job = pointer;
    int team = team_size();
    for (int part = thread_number(); part < job->parts; part += team) scale_part(job, part);
}

/* out = z * scale + shift for z (N, O) and scale, shift (O) or NULL; with g = dL/dout instead out = g * scale and
   grad_scale = the sum of g * z over tokens. Returns 0, or 1 where memory is missing. */
int big_scale(const char *z, const char *g, char *out, const float *scale, const float *shift, float *grad_scale,
              int64_t num_tokens, int64_t o, int bf16, int threads) {
    ScaleJob job = {.z = z, .g = g, .out = out, .scale = scale, .shift = shift, .num_tokens = num_tokens, .o = o,
                    .bf16 = bf16};
    job.parts = parallel && threads > 1 && num_tokens * o >= SERIAL_NUMBERS ? threads : 1;
    if (g && !(job.sums = calloc(2 * o * job.parts, sizeof(float)))) return 1;
    if (job.parts > 1) parallel(scale_team, &job, (unsigned)job.parts, 0);
    else scale_part(&job, 0);
    for (int64_t at = 0; g && at < o; at++) {
        float total = 0;
        for (int part = 0; part < job.parts; part++) total += job.sums[2 * o * part + at];
        grad_scale[at] = total;
    }
    free(job.sums);
    return 0;
}
