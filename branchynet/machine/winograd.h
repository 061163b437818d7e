/* Behind `vectors.h`: convolution at stride 1 of images whose pixels hold their channels beside each other, by Winograd's minimal filtering (Lavin and Gray, arXiv:1509.09308). Products for
 * each channel, where plain sums take n * n * k * k:
 *
 *   kernel  outputs n x n  pixels, side x side  products  plain
 *   3x3     2x2            4x4                  16        36
 *   3x3     4x4            6x6                  36        144
 *   5x5     2x2            6x6                  36        100
 *
 * A tile's pixels are transformed to as many numbers for each channel, one for each
 * place: row and column are polynomials, and a place is their values at two of the points 0, 1, -1, (2, -1/2,) infinity.
 * Each number is multiplied by weights of its place and summed up over the channels, which is a 1x1 convolution of a
 * block of tiles. The sums are polynomials' values, too, and are transformed to their coefficients, the outputs.
 */
#define LONGEST 6     /* side of a tile */
#define PLACE_GAP 16 /* floats between the numbers of two places, so that they do not all fall on one set of the cache */

/* Numbers d of a column or row, at the points: what the product with the weights is of there. */
INLINE void at_points(vec out[LONGEST], const vec d[LONGEST], int side)
{
    if (side == 4) {
        out[0] = d[2] - d[0], out[1] = d[2] + d[1], out[2] = d[2] - d[1], out[3] = d[3] - d[1];
    } else {
        /* Times (x - 2) (x + 1/2) = x^2 - 3/2 x - 1, and times x^2 - 1: what rows of the matrix have in common. */
        vec w[4];
        FOR(i, 4) w[i] = d[i + 2] - 1.5f * d[i + 1] - d[i];
        const vec u = d[4] - d[2], v = d[3] - d[1];
        out[0] = w[2] - w[0], out[1] = w[2] + w[1], out[2] = w[2] - w[1];
        out[3] = u + 0.5f * v, out[4] = u - 2.0f * v, out[5] = w[3] - w[1];
    }
}

/* The n outputs that sums m at the points belong to. */
INLINE void from_points(vec out[4], const vec m[LONGEST], int side, int n)
{
    const vec sum = m[1] + m[2], difference = m[1] - m[2];
    out[0] = m[0] + sum, out[1] = difference;
    if (side == 6) out[0] += m[3] + m[4], out[1] += 2.0f * m[3] - 0.5f * m[4];
    if (n == 4) out[2] = sum + 4.0f * m[3] + 0.25f * m[4], out[3] = difference + 8.0f * m[3] - 0.125f * m[4];
    out[n - 1] += m[side - 1];
}

/* The other way: what n outputs' gradients give at the points for those of the sums. */
INLINE void outputs_at_points(vec out[LONGEST], const vec y[4], int side, int n)
{
    vec even = y[0], odd = y[1];
    if (n == 4) even += y[2], odd += y[3];
    out[0] = y[0], out[1] = even + odd, out[2] = even - odd;
    if (side == 6) out[3] = y[0] + 2.0f * y[1], out[4] = y[0] - 0.5f * y[1];
    if (n == 4) out[3] += 4.0f * y[2] + 8.0f * y[3], out[4] += 0.25f * y[2] - 0.125f * y[3];
    out[side - 1] = y[n - 1];
}

/* in: the first pixel of a tile. out: for each place the numbers of all channels, `place` floats apart. */
INLINE void transform_tile(const float *in, float *out, int side, int channels, int in_row, int in_pixel, int place)
{
    for (int c = 0; c < channels; c += WIDTH) {
        vec rows[LONGEST][LONGEST], numbers[LONGEST];
        FOR(x, side)
        {
            vec column[LONGEST], found[LONGEST];
            FOR(y, side) column[y] = load(in + y * in_row + x * in_pixel + c);
            at_points(found, column, side);
            FOR(y, side) rows[y][x] = found[y];
        }
        FOR(y, side)
        {
            at_points(numbers, rows[y], side);
            FOR(x, side) store(out + (y * side + x) * place + c, numbers[x]);
        }
    }
}

/* in: the first pixel of n x n outputs. out: for each place their numbers, of all channels. */
INLINE void transform_outputs(const float *in, float *out, int side, int n, int channels, int in_row, int in_pixel,
                              int place)
{
    for (int c = 0; c < channels; c += WIDTH) {
        vec rows[LONGEST][4], numbers[LONGEST];
        FOR(x, n)
        {
            vec column[4], found[LONGEST];
            FOR(y, n) column[y] = load(in + y * in_row + x * in_pixel + c);
            outputs_at_points(found, column, side, n);
            FOR(y, side) rows[y][x] = found[y];
        }
        FOR(y, side)
        {
            outputs_at_points(numbers, rows[y], side, n);
            FOR(x, side) store(out + (y * side + x) * place + c, numbers[x]);
        }
    }
}

/* out: the first pixel of n x n outputs, of which h x w are there. */
INLINE void transform_sums(const float *sums, float *out, int side, int n, int n_outputs, int place, int h, int w,
                           int out_row, int out_pixel, int relu)
{
    for (int o = 0; o < n_outputs; o += WIDTH) {
        vec rows[4][LONGEST], pixels[4];
        FOR(x, side)
        {
            vec column[LONGEST], found[4];
            FOR(y, side) column[y] = load(sums + (y * side + x) * place + o);
            from_points(found, column, side, n);
            FOR(y, n) rows[y][x] = found[y];
        }
        FOR(y, n)
        {
            from_points(pixels, rows[y], side, n);
            FOR(x, n) if (y < h && x < w) store(out + y * out_row + x * out_pixel + o, relu_if(pixels[x], relu));
        }
    }
}
