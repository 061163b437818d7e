/* Vectors of float32, and the loop that convolutions spend their time in: C11 with the extensions of gcc and clang, libm
 * only. The width follows the machine. */

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __SSE__
#include <immintrin.h>
#endif

/* Floats in a vector, and how many vectors a block of sums may take of the registers that there are. */
#ifndef WIDTH
#if defined(__AVX512F__)
#define WIDTH 16
#elif defined(__AVX2__)
#define WIDTH 8
#elif defined(__SSE__) || defined(__ARM_NEON) || defined(__wasm_simd128__)
#define WIDTH 4
#else
#define WIDTH 1
#endif
#endif
#if defined(__AVX512F__) || defined(__aarch64__)
#define SUMS 24
#else
#define SUMS 12
#endif
#define MOST 24 /* of blocks of whatever kind, so that an array of sums has a constant size */
#define SLACK 128 /* floats behind a buffer, for the last vector may reach past its end */

#define INLINE static inline __attribute__((always_inline, unused))
/* A stage is a function of its own, so that its registers are its own, and a profile names it. */
#define STAGE static __attribute__((noinline))
#define UNROLL _Pragma("GCC unroll 24")
#define ROLLED _Pragma("GCC unroll 1") /* a body that is long enough as it is */
#ifdef SIZES_ARE_UNKNOWN /* then gcc would run out of registers */
#define PARTLY_UNROLLED ROLLED
#else
#define PARTLY_UNROLLED _Pragma("GCC unroll 16")
#endif
#define FOR(i, n) UNROLL for (int i = 0; i < (n); i++)

typedef float vec __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));
typedef uint32_t bits __attribute__((vector_size(4 * WIDTH)));

INLINE vec load(const float *p) { return *(const vec *)p; }
INLINE void store(float *p, vec v) { *(vec *)p = v; }
INLINE int smaller(int a, int b) { return a < b ? a : b; }
INLINE int larger(int a, int b) { return a > b ? a : b; }

/* x - 0 is x itself: compilers know, and make it one instruction. */
INLINE vec splat(float x) { return x - (vec){0}; }

/* The larger numbers; of b, where one is NaN. x86 has one instruction for it, which gcc does not find. A comparison of
 * vectors has all bits of a number set where it holds. */
INLINE vec maximum(vec a, vec b)
{
#if WIDTH == 16 && defined(__AVX512F__)
    return (vec)_mm512_max_ps((__m512)a, (__m512)b);
#elif WIDTH == 8 && defined(__AVX__)
    return (vec)_mm256_max_ps((__m256)a, (__m256)b);
#elif WIDTH == 4 && defined(__SSE__)
    return (vec)_mm_max_ps((__m128)a, (__m128)b);
#else
    const bits larger_a = (bits)(a > b);
    return (vec)(((bits)a & larger_a) | ((bits)b & ~larger_a));
#endif
}

/* NaN stays NaN. */
INLINE vec relu_if(vec v, int relu) { return relu ? (vec)((bits)v & ~(bits)(v <= splat(0))) : v; }

/* Numbers 0, 2, 4, ... and 1, 3, 5, ... of the 2 WIDTH numbers of two vectors. */
#if WIDTH == 16
#define EVENS 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODDS 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#elif WIDTH == 8
#define EVENS 0, 2, 4, 6, 8, 10, 12, 14
#define ODDS 1, 3, 5, 7, 9, 11, 13, 15
#elif WIDTH == 4
#define EVENS 0, 2, 4, 6
#define ODDS 1, 3, 5, 7
#else
#define EVENS 0
#define ODDS 1
#endif
INLINE vec evens(vec a, vec b) { return __builtin_shufflevector(a, b, EVENS); }
INLINE vec odds(vec a, vec b) { return __builtin_shufflevector(a, b, ODDS); }

/* 1 / base ** beta. For 0.75: a first guess at base ** -0.25 from the exponent, three steps of Newton's method, cubed; to
 * rounding, and several times faster than two square roots and a division. base > 0. */
INLINE vec inverse_power(vec base, float beta)
{
    vec y;
    if (beta == 0.75f) {
        y = (vec)(0x4f58cae5u - ((bits)base >> 2));
        FOR(step, 3) y *= 1.25f - 0.25f * base * (y * y) * (y * y);
        return y * y * y;
    }
    FOR(i, WIDTH) y[i] = powf(base[i], -beta);
    return y;
}

/* Convolution of an image whose pixels hold their channels beside each other: a block of `n_pixels` pixels of a row times
 * `n_vectors` vectors of output channels, whose sums stay in registers. weights: [ky][kx][c][output], `group` floats
 * apart; distances in floats: in_row from a row to the next, in_pixel and out_pixel from a pixel to the next.
 */
INLINE void convolve_pixels(const float *in, const float *bias, const float *weights, float *out, int n_pixels,
                            int n_vectors, int group, int channels, int kh, int kw, int in_row, int in_pixel, int stride,
                            int out_pixel, int relu)
{
    vec sums[MOST][4];
    /* Pixels without a gap between them are one run of numbers. */
    const int n_runs = in_pixel == channels ? 1 : kw, run = kw * channels / n_runs;
    FOR(p, n_pixels) FOR(v, n_vectors) sums[p][v] = load(bias + v * WIDTH);
    for (int ky = 0; ky < kh; ky++)
        for (int r = 0; r < n_runs; r++) {
            const float *source = in + ky * in_row + r * in_pixel;
            PARTLY_UNROLLED for (int c = 0; c < run; c++) {
                vec w[4];
                FOR(v, n_vectors) w[v] = load(weights + v * WIDTH);
                weights += group;
                FOR(p, n_pixels) FOR(v, n_vectors) sums[p][v] += source[p * stride * in_pixel + c] * w[v];
            }
        }
    FOR(p, n_pixels) FOR(v, n_vectors) store(out + p * out_pixel + v * WIDTH, relu_if(sums[p][v], relu));
}
