/* Kernels of training, behind `vectors.h`, `winograd.h` and `team.h`, in front of the other files here: batches (N, C, H,
 * W) of float32, row by row without gaps. Sizes are not known when this is compiled. A kernel unpacks what it is given,
 * works on some samples, and returns 0, or -1 where memory is short (`kernel` of team.h).
 */

#include <stdlib.h>
#include <string.h>

INLINE int rounded_up(int n, int step) { return (n + step - 1) / step * step; }
INLINE int quotient_up(int n, int by) { return (n + by - 1) / by; }

INLINE float total(vec v)
{
    float sum = 0;
    FOR(i, WIDTH) sum += v[i];
    return sum;
}

/* The first n numbers of a vector; the others are 0, or stay as they are. */
INLINE vec load_part(const float *p, int n)
{
    vec v = {0};
    if (n >= WIDTH) return load(p);
    memcpy(&v, p, sizeof(float) * n);
    return v;
}

INLINE void store_part(float *p, vec v, int n)
{
    if (n >= WIDTH) store(p, v);
    else memcpy(p, &v, sizeof(float) * n);
}

/* Where the windows of a convolution or a pooling lie. */
struct windows { int32_t channels, height, width, kh, kw, sy, sx, ph, pw, out_h, out_w; };

/* g = gy where y > 0, else 0: the gradient through ReLU, for n numbers a sample. */
int branchynet_mask(int start, int stop, void *const *given, void *const *own)
{
    const int n = *(const int *)given[0];
    const float *y = given[1];
    const float *gy = given[2];
    float *g = given[3];
    for (size_t i = (size_t)start * n; i < (size_t)stop * n; i++) g[i] = y[i] > 0 ? gy[i] : 0;
    return 0;
}

/* total = the sum of so many arrays of `size` numbers, behind each other: of the numbers start <= i < stop. */
int branchynet_total(int start, int stop, void *const *given, void *const *own)
{
    const int size = *(const int *)given[0];
    const int n_arrays = *(const int *)given[1];
    const float *arrays = given[2];
    float *total = given[3];
    for (int i = start; i < stop; i += WIDTH) {
        vec sum = {0};
        for (int a = 0; a < n_arrays; a++) sum += load_part(arrays + (size_t)a * size + i, stop - i);
        store_part(total + i, sum, stop - i);
    }
    return 0;
}

/* sum = a + b, of n numbers a sample. */
int branchynet_add(int start, int stop, void *const *given, void *const *own)
{
    const int n = *(const int *)given[0];
    const float *a = given[1];
    const float *b = given[2];
    float *sum = given[3];
    for (size_t i = (size_t)start * n; i < (size_t)stop * n; i++) sum[i] = a[i] + b[i];
    return 0;
}
