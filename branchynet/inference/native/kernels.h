/* Kernels of a compiled early-exit network, behind `vectors.h`.
 *
 * Sizes come in as constants, so that a compiler that inlines knows every shape. An image is stored in one of two forms:
 *
 *   interleaved   the channels of a pixel beside each other: vectors go across channels; for many channels
 *   planar        one plane of pixels for each channel: vectors go along the rows; for few channels
 *
 * `row`, `plane` and `pixel` are distances in floats: from a row to the next, from a channel to the next (planar), from a
 * pixel to the next (interleaved). Zeros around an image, where a convolution needs them, are part of its buffer: they
 * are there from the beginning, and nothing writes to them. Buffers have SLACK floats more than they need, for the last
 * vector may reach past the end.
 */

/* ---- Convolution, interleaved --------------------------------------------------------------------------------------
 *
 * Outputs are computed in groups of `group` channels (16 or 32); weights are packed [group][ky][kx][c][channel of the
 * group], behind the group's biases.
 */
/* Vectors of a group that are computed together. */
#define VECTORS_OF(group) smaller(larger((group) / WIDTH, 1), SUMS == 24 && WIDTH == 4 ? 4 : 2)
/* Channels, rounded up to whole small groups. */
#define WHOLE_GROUPS(channels) (((channels) + 15) / 16 * 16)

/* in: the first number that the first window reads, padding included. groups: of output channels. */
INLINE void convolution(const float *in, const float *weights, float *out, int groups, int group, int channels, int kh,
                        int kw, int in_row, int in_pixel, int stride_y, int stride_x, int out_h, int out_w, int out_row,
                        int out_pixel, int relu)
{
    const int n_vectors = VECTORS_OF(group);
    const int n_blocks = (out_w + SUMS / n_vectors - 1) / (SUMS / n_vectors);
    const int small = out_w / n_blocks, n_large = out_w - n_blocks * small; /* blocks of almost one size */
    for (int g = 0; g < groups; g++, weights += group * (1 + kh * kw * channels))
        for (int first = 0; first < group; first += n_vectors * WIDTH)
            for (int y = 0; y < out_h; y++) {
                const float *source = in + y * stride_y * in_row;
                float *target = out + y * out_row + g * group + first;
                for (int b = 0; b < n_blocks; b++) {
                    const float *w = weights + group + first;
                    if (b < n_large)
                        convolve_pixels(source, weights + first, w, target, small + 1, n_vectors, group, channels, kh, kw,
                                        in_row, in_pixel, stride_x, out_pixel, relu);
                    else
                        convolve_pixels(source, weights + first, w, target, small, n_vectors, group, channels, kh, kw,
                                        in_row, in_pixel, stride_x, out_pixel, relu);
                    source += (small + (b < n_large)) * stride_x * in_pixel;
                    target += (small + (b < n_large)) * out_pixel;
                }
            }
}

/* ---- Convolution, planar, stride 1 ---------------------------------------------------------------------------------
 *
 * A plane is one run of numbers: what a row's end and the padding behind it give is computed like all else, and read by
 * nobody. A block is `n_vectors` vectors of the run times `n_outputs` output channels; weights are packed [block of
 * outputs][c][ky][kx][output of the block], behind the block's biases.
 */
INLINE void convolve_run(const float *in, const float *weights, float *out, int n_outputs, int n_vectors, int channels,
                         int kh, int kw, int in_plane, int row, int out_plane, int relu)
{
    vec sums[8][MOST / 4];
    FOR(o, n_outputs) FOR(v, n_vectors) sums[o][v] = splat(weights[o]);
    weights += n_outputs;
    for (int c = 0; c < channels; c++)
        for (int ky = 0; ky < kh; ky++)
            ROLLED for (int kx = 0; kx < kw; kx++) {
                vec x[MOST / 4];
                FOR(v, n_vectors) x[v] = load(in + c * in_plane + ky * row + kx + v * WIDTH);
                FOR(o, n_outputs) FOR(v, n_vectors) sums[o][v] += weights[o] * x[v];
                weights += n_outputs;
            }
    FOR(o, n_outputs) FOR(v, n_vectors) store(out + o * out_plane + v * WIDTH, relu_if(sums[o][v], relu));
}

/* blocks x n_outputs output channels; n_positions: of a run, from the first output to the last. */
INLINE void convolution_of_runs(const float *in, const float *weights, float *out, int blocks, int n_outputs,
                                int channels, int kh, int kw, int in_plane, int row, int out_plane, int n_positions,
                                int relu)
{
    const int most = smaller(larger(SUMS / n_outputs, 1), MOST / 4), vectors = (n_positions + WIDTH - 1) / WIDTH;
    const int n_runs = (vectors + most - 1) / most;
    const int small = vectors / n_runs, n_large = vectors - n_runs * small; /* runs of almost one length */
    for (int b = 0; b < blocks; b++, weights += n_outputs * (1 + channels * kh * kw)) {
        const float *source = in;
        float *target = out + b * n_outputs * out_plane;
        for (int r = 0; r < n_runs; r++) {
            if (r < n_large)
                convolve_run(source, weights, target, n_outputs, small + 1, channels, kh, kw, in_plane, row, out_plane,
                             relu);
            else
                convolve_run(source, weights, target, n_outputs, small, channels, kh, kw, in_plane, row, out_plane, relu);
            source += (small + (r < n_large)) * WIDTH;
            target += (small + (r < n_large)) * WIDTH;
        }
    }
}

/* Planar at any stride, one output after another: no network of the zoo needs it. */
INLINE void convolution_of_planes(const float *in, const float *weights, float *out, int n_outputs, int channels, int kh,
                                  int kw, int in_plane, int in_row, int stride_y, int stride_x, int out_h, int out_w,
                                  int out_plane, int out_row, int relu)
{
    for (int o = 0; o < n_outputs; o++, weights += 1 + channels * kh * kw)
        for (int y = 0; y < out_h; y++)
            for (int x = 0; x < out_w; x++) {
                float sum = weights[0];
                const float *w = weights + 1;
                for (int c = 0; c < channels; c++)
                    for (int ky = 0; ky < kh; ky++)
                        for (int kx = 0; kx < kw; kx++)
                            sum += *w++ * in[c * in_plane + (y * stride_y + ky) * in_row + x * stride_x + kx];
                out[o * out_plane + y * out_row + x] = relu && sum < 0 ? 0 : sum;
            }
}

/* ---- Fully connected layer -----------------------------------------------------------------------------------------
 *
 * Outputs in groups as above, weights packed [group][input][output of the group], behind the group's biases. Four inputs
 * have sums of their own, for a sum that waits for itself is slow.
 */
INLINE void fully_connected(const float *in, const float *weights, float *out, int groups, int group, int inputs, int relu)
{
    const int n_vectors = VECTORS_OF(group);
    for (int g = 0; g < groups; g++, weights += group * (1 + inputs))
        for (int first = 0; first < group; first += n_vectors * WIDTH) {
            vec sums[4][4];
            const float *w = weights + group + first;
            FOR(u, 4) FOR(v, n_vectors) sums[u][v] = u ? splat(0) : load(weights + first + v * WIDTH);
            int i = 0;
            for (; i + 4 <= inputs; i += 4, w += 4 * group)
                FOR(u, 4) FOR(v, n_vectors) sums[u][v] += in[i + u] * load(w + u * group + v * WIDTH);
            for (; i < inputs; i++, w += group) FOR(v, n_vectors) sums[0][v] += in[i] * load(w + v * WIDTH);
            FOR(v, n_vectors)
            {
                vec sum = (sums[0][v] + sums[1][v]) + (sums[2][v] + sums[3][v]);
                store(out + g * group + first + v * WIDTH, relu_if(sum, relu));
            }
        }
}

/* ---- Pooling -------------------------------------------------------------------------------------------------------
 *
 * A window counts only what lies inside the image: `in` is the image itself, without its padding.
 */
INLINE void max_pooling(const float *in, float *out, int channels, int in_h, int in_w, int in_row, int in_pixel, int kh,
                        int kw, int stride_y, int stride_x, int pad_y, int pad_x, int out_h, int out_w, int out_row,
                        int out_pixel)
{
    for (int y = 0; y < out_h; y++)
        for (int x = 0; x < out_w; x++) {
            const int y0 = larger(y * stride_y - pad_y, 0), y1 = smaller(y * stride_y - pad_y + kh, in_h);
            const int x0 = larger(x * stride_x - pad_x, 0), x1 = smaller(x * stride_x - pad_x + kw, in_w);
            for (int c = 0; c < channels; c += WIDTH) {
                vec top = splat(-INFINITY);
                for (int i = y0; i < y1; i++)
                    for (int j = x0; j < x1; j++) top = maximum(top, load(in + i * in_row + j * in_pixel + c));
                store(out + y * out_row + x * out_pixel + c, top);
            }
        }
}

INLINE void average_pooling(const float *in, float *out, int channels, int in_h, int in_w, int in_row, int in_pixel,
                            int kh, int kw, int stride_y, int stride_x, int pad_y, int pad_x, int out_h, int out_w,
                            int out_row, int out_pixel)
{
    for (int y = 0; y < out_h; y++)
        for (int x = 0; x < out_w; x++) {
            const int y0 = larger(y * stride_y - pad_y, 0), y1 = smaller(y * stride_y - pad_y + kh, in_h);
            const int x0 = larger(x * stride_x - pad_x, 0), x1 = smaller(x * stride_x - pad_x + kw, in_w);
            for (int c = 0; c < channels; c += WIDTH) {
                vec sum = splat(0);
                for (int i = y0; i < y1; i++)
                    for (int j = x0; j < x1; j++) sum += load(in + i * in_row + j * in_pixel + c);
                store(out + y * out_row + x * out_pixel + c, sum / splat((float)(kh * kw)));
            }
        }
}

/* The first n numbers of a, and behind them those of b. */
INLINE vec first(int n, vec a, vec b)
{
    bits mine;
    FOR(i, WIDTH) mine[i] = i < n ? ~0u : 0;
    return (vec)(((bits)a & mine) | ((bits)b & ~mine));
}

/* The largest numbers of `rows` rows, at WIDTH neighbouring places, of which the first n are inside the image. */
INLINE vec top_of_rows(const float *in, int rows, int row, int n)
{
    vec top = load(in);
    for (int i = 1; i < rows; i++) top = maximum(top, load(in + i * row));
    return n < WIDTH ? first(n, top, splat(-INFINITY)) : top;
}

/* WIDTH windows beside each other, at stride 1 or 2; n: columns of the image from the first of the first on. */
INLINE vec top_of_windows(const float *in, int rows, int row, int kw, int stride, int n)
{
    vec top = splat(-INFINITY);
    for (int j = 0; j < kw; j += stride) {
        const vec left = top_of_rows(in + j, rows, row, n - j);
        if (stride == 1) {
            top = maximum(top, left);
        } else {
            const vec right = top_of_rows(in + j + WIDTH, rows, row, n - j - WIDTH);
            top = maximum(top, evens(left, right));
            if (j + 1 < kw) top = maximum(top, odds(left, right));
        }
    }
    return top;
}

INLINE void max_pooling_of_planes(const float *in, float *out, int channels, int in_h, int in_w, int in_plane, int in_row,
                                  int kh, int kw, int stride_y, int stride_x, int pad_y, int pad_x, int out_h, int out_w,
                                  int out_plane, int out_row)
{
    const int by_vectors = pad_x == 0 && stride_x <= 2 && WIDTH > 1;
    const int width = (out_w - 1) * stride_x + kw > in_w ? in_w : 1 << 30; /* where columns have to be left out */
    for (int c = 0; c < channels; c++)
        for (int y = 0; y < out_h; y++) {
            const int y0 = larger(y * stride_y - pad_y, 0), y1 = smaller(y * stride_y - pad_y + kh, in_h);
            const float *source = in + c * in_plane + y0 * in_row;
            float *target = out + c * out_plane + y * out_row;
            int x = 0;
            for (; by_vectors && y0 < y1 && x < out_w - 1; x += WIDTH) {
                const vec top = top_of_windows(source + x * stride_x, y1 - y0, in_row, kw, stride_x, width - x * stride_x);
                if (out_row - x >= WIDTH) store(target + x, first(out_w - x, top, load(target + x)));
                else __builtin_memcpy(target + x, &top, sizeof(float) * smaller(out_w - x, WIDTH));
            }
            for (; x < out_w; x++) { /* also a last window that has no neighbour */
                const int x0 = larger(x * stride_x - pad_x, 0), x1 = smaller(x * stride_x - pad_x + kw, in_w);
                float top = -INFINITY;
                for (int i = 0; i < y1 - y0; i++)
                    for (int j = x0; j < x1; j++) top = source[i * in_row + j] > top ? source[i * in_row + j] : top;
                target[x] = top;
            }
        }
}

INLINE void average_pooling_of_planes(const float *in, float *out, int channels, int in_h, int in_w, int in_plane,
                                      int in_row, int kh, int kw, int stride_y, int stride_x, int pad_y, int pad_x,
                                      int out_h, int out_w, int out_plane, int out_row)
{
    for (int c = 0; c < channels; c++)
        for (int y = 0; y < out_h; y++)
            for (int x = 0; x < out_w; x++) {
                const int y0 = larger(y * stride_y - pad_y, 0), y1 = smaller(y * stride_y - pad_y + kh, in_h);
                const int x0 = larger(x * stride_x - pad_x, 0), x1 = smaller(x * stride_x - pad_x + kw, in_w);
                float sum = 0;
                for (int i = y0; i < y1; i++)
                    for (int j = x0; j < x1; j++) sum += in[c * in_plane + i * in_row + j];
                out[c * out_plane + y * out_row + x] = sum / (float)(kh * kw);
            }
}

/* ---- Normalisation ------------------------------------------------------------------------------------------------- */

/* x_c / (k + alpha * sum of x ** 2 over the n channels around c) ** beta. `squares` are those of a row, with n zeros
 * between pixels: sums that are read right behind a pixel's squares would wait for them to be written. */
INLINE void local_response_normalization(const float *in, float *out, float *squares, int channels, int h, int w,
                                         int in_row, int in_pixel, int out_row, int out_pixel, int n, float k,
                                         float alpha, float beta)
{
    const int step = channels + n;
    for (int y = 0; y < h; y++) {
        const float *source = in + y * in_row;
        float *target = out + y * out_row;
        for (int x = 0; x < w; x++)
            for (int c = 0; c < channels; c++)
                squares[x * step + n / 2 + c] = source[x * in_pixel + c] * source[x * in_pixel + c];
        for (int x = 0; x < w; x++)
            for (int c = 0; c < channels; c += WIDTH) {
                vec sum = load(squares + x * step + c);
                for (int i = 1; i < n; i++) sum += load(squares + x * step + c + i);
                store(target + x * out_pixel + c, load(source + x * in_pixel + c) * inverse_power(k + alpha * sum, beta));
            }
    }
}

INLINE void local_response_normalization_of_planes(const float *in, float *out, int channels, int h, int w, int in_plane,
                                                   int in_row, int out_plane, int out_row, int n, float k, float alpha,
                                                   float beta)
{
    for (int c = 0; c < channels; c++)
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++) {
                float sum = 0;
                for (int d = larger(c - n / 2, 0); d < smaller(c + n / 2 + 1, channels); d++) {
                    const float value = in[d * in_plane + y * in_row + x];
                    sum += value * value;
                }
                out[c * out_plane + y * out_row + x] = in[c * in_plane + y * in_row + x] * powf(k + alpha * sum, -beta);
            }
}

/* ---- One number after another: either form, by its distances ------------------------------------------------------- */

/* out = in * factors[c] + factors[channels + c], or in itself without factors. */
INLINE void copy_scaled(const float *in, const float *factors, float *out, int channels, int h, int w, int in_plane,
                        int in_row, int in_pixel, int out_plane, int out_row, int out_pixel, int relu)
{
    for (int c = 0; c < channels; c++)
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++) {
                float value = in[c * in_plane + y * in_row + x * in_pixel];
                if (factors) value = value * factors[c] + factors[channels + c];
                out[c * out_plane + y * out_row + x * out_pixel] = relu && value < 0 ? 0 : value;
            }
}

/* sum += every stride-th pixel of in, in its first channels: the shortcut of a residual block. */
INLINE void add_shortcut(const float *in, float *sum, int channels, int all_channels, int h, int w, int in_plane,
                         int in_row, int in_pixel, int stride, int sum_plane, int sum_row, int sum_pixel, int relu)
{
    if (sum_plane == 1 && in_plane == 1)
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++) {
                const float *source = in + stride * (y * in_row + x * in_pixel);
                float *target = sum + y * sum_row + x * sum_pixel;
                for (int c = 0; c < all_channels; c += WIDTH) {
                    vec value = load(target + c);
                    if (c + WIDTH <= channels) value += load(source + c);
                    else
                        for (int i = 0; i < channels - c; i++) value[i] += source[c + i];
                    store(target + c, relu_if(value, relu));
                }
            }
    else
        for (int c = 0; c < all_channels; c++)
            for (int y = 0; y < h; y++)
                for (int x = 0; x < w; x++) {
                    float *target = sum + c * sum_plane + y * sum_row + x * sum_pixel;
                    float value = *target;
                    if (c < channels) value += in[c * in_plane + stride * (y * in_row + x * in_pixel)];
                    *target = relu && value < 0 ? 0 : value;
                }
}

/* Whether no number is NaN, or larger in size than `most`. Sizes are compared as integers, which stand in the same order,
 * for flags like -funsafe-math-optimizations do not touch those: where a size is larger, the difference is negative. */
INLINE int all_finite(const float *x, int n, float most)
{
    bits differences = {0};
    int i = 0;
    for (; i + WIDTH <= n; i += WIDTH) differences |= (bits)splat(most) - ((bits)load(x + i) & 0x7fffffffu);
    for (; i < n; i++) differences |= (bits)splat(most) - ((bits)splat(x[i]) & 0x7fffffffu);
    uint32_t any = 0;
    FOR(j, WIDTH) any |= differences[j];
    return any >> 31 == 0;
}
