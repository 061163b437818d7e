/* Behind `vectors.h`: convolution at stride 1 of images whose pixels hold their channels beside each other, by Winograd's
 * minimal filtering (Lavin and Gray, arXiv:1509.09308). Products for each channel and tile, where plain sums take
 * n * n * k * k:
 *
 *   kernel, k x k  outputs, n x n  pixels, side x side  products  plain sums
 *   3x3            2x2             4x4                  16        36
 *   3x3            4x4             6x6                  36        144
 *   3x3            6x6             8x8                  64        324
 *   5x5            2x2             6x6                  36        100
 *   5x5            4x4             8x8                  64        400
 *
 * A tile's pixels are transformed to as many numbers for each channel, one for each place: row and column are polynomials,
 * and a place is their values at two of the points 0, infinity, and pairs p, -p. Each number is multiplied by weights of
 * its place and summed up over the channels, which is a 1x1 convolution of a block of tiles. The sums are polynomials'
 * values, too, and are transformed to their coefficients, the outputs.
 */
#define LONGEST 8    /* side of a tile */
static const float ZEROS[32]; /* the bias of the sums */
#define PLACE_GAP 16 /* floats between the numbers of two places, so that they do not all fall on one set of the cache */

/* For a side of 4, 6, 8: the pairs' p, which keep rounding errors small: in a sum of 32 channels of 3x3, outputs are off
 * by 1, 2, 10 times as much as by plain sums. */
static const float PAIRS[3][3] = {{1}, {0.625f, 1.5f}, {1, 2, 0.5f}};
/* The product of all (x^2 - p^2), and that of all but one pair's: factors of 1, x^2, x^4, x^6. */
static const float OF_ALL[3][4] = {{-1, 1}, {0.87890625f, -2.640625f, 1}, {-1, 5.25f, -5.25f, 1}};
static const float OF_OTHERS[3][3][3] = {
    {{1}}, {{-2.25f, 1}, {-0.390625f, 1}}, {{1, -4.25f, 1}, {0.25f, -1.25f, 1}, {4, -5, 1}}};

/* Pixels d of a column or row, at the points: what the products with the weights are of there. */
INLINE void at_points(vec out[LONGEST], const vec d[LONGEST], int side)
{
    const int n_pairs = side / 2 - 1;
    out[0] = out[side - 1] = splat(0);
    FOR(k, n_pairs + 1)
    {
        out[0] += OF_ALL[n_pairs - 1][k] * d[2 * k];
        out[side - 1] += OF_ALL[n_pairs - 1][k] * d[2 * k + 1];
    }
    FOR(pair, n_pairs)
    {
        vec even = splat(0), odd = splat(0);
        FOR(k, n_pairs) even += OF_OTHERS[n_pairs - 1][pair][k] * d[2 * k + 2];
        FOR(k, n_pairs) odd += PAIRS[n_pairs - 1][pair] * OF_OTHERS[n_pairs - 1][pair][k] * d[2 * k + 1];
        out[2 * pair + 1] = even + odd, out[2 * pair + 2] = even - odd;
    }
}

/* The n outputs that sums m at the points belong to. */
INLINE void from_points(vec out[LONGEST], const vec m[LONGEST], int side, int n)
{
    FOR(i, n) out[i] = splat(0);
    out[0] = m[0], out[n - 1] += m[side - 1];
    FOR(pair, side / 2 - 1)
    {
        const vec sum = m[2 * pair + 1] + m[2 * pair + 2], difference = m[2 * pair + 1] - m[2 * pair + 2];
        float power = 1;
        FOR(i, n)
        {
            if (i % 2) out[i] += power * difference;
            else out[i] += power * sum;
            power *= PAIRS[side / 2 - 2][pair];
        }
    }
}

/* The other way: what n outputs' gradients y give at the points for those of the sums. */
INLINE void outputs_at_points(vec out[LONGEST], const vec y[LONGEST], int side, int n)
{
    out[0] = y[0], out[side - 1] = y[n - 1];
    FOR(pair, side / 2 - 1)
    {
        vec even = splat(0), odd = splat(0);
        float power = 1;
        FOR(i, n)
        {
            if (i % 2) odd += power * y[i];
            else even += power * y[i];
            power *= PAIRS[side / 2 - 2][pair];
        }
        out[2 * pair + 1] = even + odd, out[2 * pair + 2] = even - odd;
    }
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
        vec rows[LONGEST][LONGEST], numbers[LONGEST];
        FOR(x, n)
        {
            vec column[LONGEST], found[LONGEST];
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

/* out: the first pixel of n x n outputs, of which h x w are there, each with the bias of its channel. */
INLINE void transform_sums(const float *sums, const float *bias, float *out, int side, int n, int n_outputs, int place,
                           int h, int w, int out_row, int out_pixel, int relu)
{
    for (int o = 0; o < n_outputs; o += WIDTH) {
        vec rows[LONGEST][LONGEST], pixels[LONGEST];
        FOR(x, side)
        {
            vec column[LONGEST], found[LONGEST];
            FOR(y, side) column[y] = load(sums + (y * side + x) * place + o);
            from_points(found, column, side, n);
            FOR(y, n) rows[y][x] = found[y];
        }
        FOR(y, n)
        {
            from_points(pixels, rows[y], side, n);
            FOR(x, n)
            {
                const vec pixel = relu_if(pixels[x] + load(bias + o), relu);
                if (y < h && x < w) store(out + y * out_row + x * out_pixel + o, pixel);
            }
        }
    }
}
