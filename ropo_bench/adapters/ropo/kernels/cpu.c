/* BIG and the magnitudes on CPUs at memory speed, forward and backward. See givens.py for the maths.

   A slab of LANES tokens is held feature-major: one vector = one feature of LANES tokens. A tree on d features is
   cut into levels of tiles: LANES neighbouring features fold onto the first of them in registers, those leaders
   are the features of the next level. So both trees need one pass over the input and one over the output; what
   lies between stays in cache. A round is linear in vectors, exact at angle 0, and fp32 whatever the input is.

   Letters: a[] features of a slab, all levels one after the other (level l at start[l], tile T at start[l] +
   T * LANES); c[], s[] cosine and sine in the same places (LANES - 1 pairs a tile, last place unused). */

#include "angles.h"
#include "magnitude.h"
#include "threads.h"

#ifdef __linux__
#include <sys/mman.h>
#endif

#define HUGE_BYTES ((size_t)4 << 20) /* of new tensors; malloc takes large ones afresh from the system each time */

/* ---- one slab ---- */

/* Leaders that fill up the last tile of a level: zeros, anew for each slab, for a NaN would stay in them. */
static void clear_padding(const Shape *p, V *a) {
    for (int l = 1; l < p->levels; l++)
        for (int64_t i = p->start[l] + p->count[l]; i < p->start[l + 1]; i++) a[i] = (V){0};
}

/* What acts on the tokens, in order: the mirror tree (if before), a folding, an unfolding, the mirror tree (if
   after). Shared planes: R = unfold(reverse) fold(forward), R^T = unfold(-forward) fold(-reverse). */
typedef struct {
    Angles up, down, mirror;
    int before, after;
} Rotation;

INLINE void forward_slab(const Shape *p, V *a, const Rotation *r, char *const *x, char *const *y, int bf16) {
    if (r->before) {
        load_all(p, a, x, bf16);
        mirror_all(p, a, NULL, r->mirror, 0);
        leaders_up(p, a);
    } else fold_all(p, a, r->up, x, bf16);
    if (r->after) {
        leaders_down(p, a);
        mirror_all(p, a, NULL, r->mirror, 1);
        store_all(p, a, y, bf16);
        return;
    }
    unfold_upper(p, a, r->down);
    unfold_lowest(p, a, r->down, y, bf16);
}

/* x forth through the rotation, then x and dL/dy = g back together; dL/dx goes to gx where that is wanted. */
INLINE void backward_slab(const Shape *p, V *a, V *b, const Rotation *r, char *const *x, char *const *g,
                          char *const *gx, int bf16) {
    V t[LANES], u[LANES];
    if (r->before) {
        load_all(p, a, x, bf16);
        mirror_all(p, a, NULL, r->mirror, 0);
        leaders_up(p, a);
    } else fold_all(p, a, r->up, x, bf16);
    if (r->after) {
        leaders_down(p, a);
        mirror_all(p, a, NULL, r->mirror, 1);
        load_all(p, b, g, bf16);
        mirror_all(p, a, b, r->mirror, 0);
        leaders_up(p, a);
        leaders_up(p, b);
    } else {
        unfold_upper(p, a, r->down);
        for (int64_t tile = 0; tile < p->count[1]; tile++) {
            int64_t at = tile * LANES;
            load_tile(u, g, at, p->d, bf16);
            t[0] = a[p->start[1] + tile];
            UNROLL for (int k = 2; k < LANES; k += 2) t[k] = a[at + k];
            unfold(t, r->down.c + at, r->down.s + at, 2);
            undo_unfold(t, u, r->down.c + at, r->down.s + at, r->down.grad + at, a + at, b + at);
            b[p->start[1] + tile] = u[0];
        }
        undo_upper(p, a, b, r->down, 1);
    }
    if (r->before) {
        leaders_down(p, a);
        leaders_down(p, b);
        mirror_all(p, a, b, r->mirror, 1);
        leaders_up(p, a);
        leaders_up(p, b);
    } else undo_upper(p, a, b, r->up, 0);
    for (int64_t tile = 0; tile < p->count[1]; tile++) {
        int64_t at = tile * LANES;
        if (!r->before) {
            t[0] = a[p->start[1] + tile], u[0] = b[p->start[1] + tile];
            undo_fold(t, u, r->up.c + at, r->up.s + at, r->up.grad + at, a + at, b + at);
        } else read_tile(u, p, b, 0, tile, 1);
        if (gx) store_tile(u, gx, at, p->d, bf16);
    }
}

/* ---- all slabs ---- */

typedef struct {
    Shape shape;
    Rotation rotation;
    int bf16, parts, failed;
    int64_t num_tokens, grad_step;
    char *x, *y, *g, *gx, *zeros, *sink; /* zeros, sink: rows in place of those beyond the last token */
    float *grads;
} Job;

static _Thread_local V *scratch; /* grows to what a slab needs and stays with the thread */
static _Thread_local size_t scratch_size;

static V *room_for(size_t vectors) {
    if (vectors > scratch_size) {
        free(scratch);
        scratch = aligned_alloc(64, (vectors * sizeof(V) + 63) / 64 * 64);
        scratch_size = scratch ? vectors : 0;
    }
    return scratch;
}

static void slab_rows(char **rows, char *base, int64_t token, const Job *job, char *beyond) {
    size_t bytes = (size_t)job->shape.d * (job->bf16 ? 2 : 4);
    for (int k = 0; k < LANES; k++) rows[k] = token + k < job->num_tokens ? base + (token + k) * bytes : beyond;
}

INLINE void run_slab(const Job *job, int64_t token, V *a, V *b, const Rotation *rotation, int bf16) {
    const Shape *p = &job->shape;
    char *x[LANES], *other[LANES], *gx[LANES];
    slab_rows(x, job->x, token, job, job->zeros);
    clear_padding(p, a);
    if (!job->g) {
        slab_rows(other, job->y, token, job, job->sink);
        forward_slab(p, a, rotation, x, other, bf16);
        return;
    }
    clear_padding(p, b);
    slab_rows(other, job->g, token, job, job->zeros);
    if (job->gx) slab_rows(gx, job->gx, token, job, job->sink);
    backward_slab(p, a, b, rotation, x, other, job->gx ? gx : NULL, bf16);
}

static void run_part(Job *job, int part) {
    int64_t tree = job->shape.start[job->shape.levels], size = tree + LANES;
    int64_t slabs = (job->num_tokens + LANES - 1) / LANES;
    V *room = room_for(size * (job->g ? 2 : 1));
    if (!room) {
        job->failed = 1;
        return;
    }
    Rotation rotation = job->rotation;
    rotation.up.grad = job->grads + part * job->grad_step;
    rotation.down.grad = rotation.up.grad + tree;
    rotation.mirror.grad = rotation.down.grad + tree;
    for (int64_t slab = slabs * part / job->parts; slab < slabs * (part + 1) / job->parts; slab++) {
        if (job->bf16) run_slab(job, slab * LANES, room, room + size, &rotation, 1);
        else run_slab(job, slab * LANES, room, room + size, &rotation, 0);
    }
}

static void run_team(void *pointer) {
    Job *job = pointer;
    int team = team_size();
    for (int part = thread_number(); part < job->parts; part += team) run_part(job, part);
}

/* Few large pages instead of many small ones: the first touch of a new tensor costs more than the rotation. */
static void ask_for_large_pages(char *tensor, size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    uintptr_t first = ((uintptr_t)tensor + 4095) / 4096 * 4096;
    if (tensor && bytes >= HUGE_BYTES) (void)madvise((void *)first, (uintptr_t)tensor + bytes - first, MADV_HUGEPAGE);
#else
    (void)tensor, (void)bytes;
#endif
}

/* ---- what Python calls ---- */

/* y = R x for x (N, d), or with g = dL/dy: gx = R^T g (where gx is not NULL) and the angle gradients. A theta is NULL
   for a tree that is left out, a grad_theta where it is not wanted. Returns 0, or 1 where memory is missing. The same
   number of threads gives the same bits. */
int big_rotate(char *x, char *y, char *g, char *gx, int64_t num_tokens, int64_t d, int bf16, const float *theta_f,
               const float *theta_r, float *grad_f, float *grad_r, int mirror, int transposed, int threads) {
    Job job = {.shape = make_shape(d), .bf16 = bf16, .num_tokens = num_tokens, .x = x, .y = y, .g = g, .gx = gx};
    const Shape *p = &job.shape;
    int64_t tree = p->start[p->levels], all = 2 * tree + p->mirror, slabs = (num_tokens + LANES - 1) / LANES;
    if (threads > slabs) threads = (int)slabs;
    job.parts = parallel && threads > 1 && num_tokens * d >= SERIAL_NUMBERS ? threads : 1;
    job.grad_step = all;
    float *memory = calloc(2 * all + (g ? all * job.parts : 0) + 4 * d, sizeof(float));
    if (!memory) return 1;
    float *c = memory, *s = c + all, *room = s + all, sign = transposed ? -1 : 1;
    job.zeros = (char *)(room + 2 * d), job.sink = (char *)(room + 3 * d), job.grads = room + 4 * d;
    const float *up = transposed ? theta_r : theta_f, *down = transposed ? theta_f : theta_r;
    int before = mirror && transposed, after = mirror && !transposed;
    place_angles(p, 0, before ? NULL : up, sign, c, s, room);
    place_angles(p, 0, after ? NULL : down, sign, c + tree, s + tree, room);
    if (mirror) place_angles(p, 1, theta_r, sign, c + 2 * tree, s + 2 * tree, room);
    job.rotation = (Rotation){.up = {c, s, NULL}, .down = {c + tree, s + tree, NULL},
                              .mirror = {c + 2 * tree, s + 2 * tree, NULL}, .before = before, .after = after};
    ask_for_large_pages(g ? gx : y, (size_t)num_tokens * d * (bf16 ? 2 : 4));
    if (job.parts > 1) parallel(run_team, &job, (unsigned)job.parts, 0);
    else run_part(&job, 0);
    if (g) {
        float *grad_up = transposed ? grad_r : grad_f, *grad_down = transposed ? grad_f : grad_r;
        if (!before) collect_grad(p, 0, job.grads, all, job.parts, sign, grad_up);
        if (!after) collect_grad(p, 0, job.grads + tree, all, job.parts, sign, grad_down);
        if (mirror) collect_grad(p, 1, job.grads + 2 * tree, all, job.parts, sign, grad_r);
    }
    free(memory);
    return job.failed;
}
