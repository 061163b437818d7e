/* Convolution, image by image, with the channels of a pixel beside each other, padding around it, and outputs in groups
 * of GROUP.
 */

#define GROUP (2 * WIDTH)

struct convolution {
    struct windows w;
    int32_t outputs;
    /* Where the output of place (y, x) goes: y * step_y + x * step_x, images and channels so many floats apart. */
    int32_t image_step, channel_step, step_y, step_x;
    int32_t relu; /* whether negative outputs become 0 */
};

int branchynet_width(void) { return WIDTH; }

typedef float vec4 __attribute__((vector_size(16), aligned(4), may_alias));

/* Four rows of four numbers into columns: in and out are so many floats from a row to the next. */
INLINE void transpose_4(const float *in, int in_row, float *out, int out_row)
{
    const vec4 a = *(const vec4 *)in, b = *(const vec4 *)(in + in_row);
    const vec4 c = *(const vec4 *)(in + 2 * in_row), d = *(const vec4 *)(in + 3 * in_row);
    const vec4 ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab2 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    const vec4 cd = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd2 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    *(vec4 *)out = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
    *(vec4 *)(out + out_row) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
    *(vec4 *)(out + 2 * out_row) = __builtin_shufflevector(ab2, cd2, 0, 1, 4, 5);
    *(vec4 *)(out + 3 * out_row) = __builtin_shufflevector(ab2, cd2, 2, 3, 6, 7);
}

/* rows x columns -> columns x rows; neighbours in a row lie beside each other. The last squares overlap others. */
INLINE void transpose(const float *in, int in_row, int rows, int columns, float *out, int out_row)
{
    if (rows < 4 || columns < 4) {
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < columns; c++) out[c * out_row + r] = in[r * in_row + c];
        return;
    }
    for (int i = 0; i < rows; i += 4)
        for (int j = 0; j < columns; j += 4) {
            const int r = smaller(i, rows - 4), c = smaller(j, columns - 4);
            transpose_4(in + r * in_row + c, in_row, out + c * out_row + r, out_row);
        }
}

/* What a convolution computes with: an image with its padding, and a row of outputs, [pixel][output of the group]. */
struct memory { int row; float *image, *outputs; };

static int get_memory(const struct windows *w, struct memory *m)
{
    const int rows = larger(w->ph + w->height, (w->out_h - 1) * w->sy + w->kh);
    m->row = larger(w->pw + w->width, (w->out_w - 1) * w->sx + w->kw) * w->channels;
    m->image = calloc((size_t)rows * m->row + SLACK, sizeof(float));
    m->outputs = calloc((size_t)w->out_w * GROUP + SLACK, sizeof(float));
    if (m->image && m->outputs) return 0;
    free(m->image), free(m->outputs);
    return -1;
}

static void give_back(struct memory *m) { free(m->image), free(m->outputs); }

static void put_image(const struct windows *w, struct memory *m, const float *x)
{
    for (int y = 0; y < w->height; y++)
        transpose(x + y * w->width, w->height * w->width, w->channels, w->width,
                  m->image + (y + w->ph) * m->row + w->pw * w->channels, w->channels);
}

/* A block of a row of outputs: so many pixels, times 1 or 2 vectors of a group. */
#define CONVOLVE_BLOCK(pixels, vectors)                                                                                  \
    STAGE void convolve_##pixels##_##vectors(const struct convolution *c, int row, const float *in, const float *bias,   \
                                             const float *weights, float *out)                                           \
    {                                                                                                                    \
        const struct windows *w = &c->w;                                                                                 \
        convolve_pixels(in, bias, weights, out, pixels, vectors, GROUP, w->channels, w->kh, w->kw, row, w->channels,     \
                        w->sx, GROUP, c->relu);                                                                          \
    }
CONVOLVE_BLOCK(1, 1) CONVOLVE_BLOCK(2, 1) CONVOLVE_BLOCK(3, 1) CONVOLVE_BLOCK(4, 1) CONVOLVE_BLOCK(5, 1)
CONVOLVE_BLOCK(6, 1) CONVOLVE_BLOCK(7, 1) CONVOLVE_BLOCK(8, 1) CONVOLVE_BLOCK(9, 1) CONVOLVE_BLOCK(10, 1)
CONVOLVE_BLOCK(11, 1) CONVOLVE_BLOCK(12, 1)
CONVOLVE_BLOCK(1, 2) CONVOLVE_BLOCK(2, 2) CONVOLVE_BLOCK(3, 2) CONVOLVE_BLOCK(4, 2) CONVOLVE_BLOCK(5, 2)
CONVOLVE_BLOCK(6, 2)

typedef void convolve_block(const struct convolution *, int, const float *, const float *, const float *, float *);
static convolve_block *const convolve_1_vector[] = {0, convolve_1_1, convolve_2_1, convolve_3_1, convolve_4_1,
    convolve_5_1, convolve_6_1, convolve_7_1, convolve_8_1, convolve_9_1, convolve_10_1, convolve_11_1, convolve_12_1};
static convolve_block *const convolve_2_vectors[] = {0, convolve_1_2, convolve_2_2, convolve_3_2, convolve_4_2,
    convolve_5_2, convolve_6_2};

/* One row of outputs, in blocks of almost one size. */
static void convolve_row(const struct convolution *c, int row, const float *in, const float *bias, const float *weights,
                         float *out, int n_vectors)
{
    const int n_pixels = c->w.out_w, n_blocks = quotient_up(n_pixels, 12 / n_vectors), small = n_pixels / n_blocks;
    for (int b = 0, size; b < n_blocks; b++, in += size * c->w.sx * c->w.channels, out += size * GROUP) {
        size = small + (b < n_pixels - n_blocks * small);
        (n_vectors == 1 ? convolve_1_vector : convolve_2_vectors)[size](c, row, in, bias, weights, out);
    }
}

/* A row of outputs of one group, of which so many are there, to where it goes. */
static void put_row(const struct convolution *c, const float *outputs, float *target, int here)
{
    if (c->step_x == 1) {
        transpose(outputs, GROUP, c->w.out_w, here, target, c->channel_step);
        return;
    }
    for (int o = 0; o < here; o++)
        for (int p = 0; p < c->w.out_w; p++) target[o * c->channel_step + p * c->step_x] = outputs[p * GROUP + o];
}

/* x (N, C, H, W) -> y. weights: [group][ky][kx][c][output of the group]; bias: for each output, in whole groups. */
int branchynet_convolve(int start, int stop, void *const *given, void *const *own)
{
    const struct convolution *c = given[0];
    const float *x = given[1];
    const float *weights = given[2];
    const float *bias = given[3];
    float *y = given[4];
    struct memory m;
    const struct windows *w = &c->w;
    if (get_memory(w, &m)) return -1;
    const size_t n_taps = (size_t)w->channels * w->kh * w->kw;
    for (int i = start; i < stop; i++) {
        put_image(w, &m, x + (size_t)i * w->channels * w->height * w->width);
        for (int first = 0; first < c->outputs; first += GROUP) {
            const int here = smaller(GROUP, c->outputs - first);
            for (int row = 0; row < w->out_h; row++) {
                convolve_row(c, m.row, m.image + row * w->sy * m.row, bias + first, weights + first * n_taps, m.outputs,
                             here > WIDTH ? 2 : 1);
                put_row(c, m.outputs, y + (size_t)i * c->image_step + first * c->channel_step + row * c->step_y, here);
            }
        }
    }
    give_back(&m);
    return 0;
}

/* The numbers that a row of a kernel reads lie beside each other, kw * C of them. Adds, for some vectors of them and some
 * outputs, the sum over rows of places of what they read times gy. Sums are `gradient_row` floats apart. */
INLINE void correlate_vectors(const struct windows *w, int row, const float *in, const float *gy, int n_rows,
                              float *gradient, size_t gradient_row, int n_outputs, int n_vectors)
{
    vec sums[4][3];
    const int n_places = w->out_h * w->out_w, step = w->sx * w->channels;
    FOR(o, n_outputs) FOR(v, n_vectors) sums[o][v] = load(gradient + o * gradient_row + v * WIDTH);
    for (int y = 0; y < n_rows; y++, gy += w->out_w) {
        const float *source = in + y * w->sy * row;
        ROLLED for (int x = 0; x < w->out_w; x++, source += step) {
            vec numbers[3];
            FOR(v, n_vectors) numbers[v] = load(source + v * WIDTH);
            FOR(o, n_outputs) FOR(v, n_vectors) sums[o][v] += gy[(size_t)o * n_places + x] * numbers[v];
        }
    }
    FOR(o, n_outputs) FOR(v, n_vectors) store(gradient + o * gradient_row + v * WIDTH, sums[o][v]);
}

#define CORRELATE_BLOCK(outputs, vectors)                                                                                \
    STAGE void correlate_##outputs##_##vectors(const struct windows *w, int row, const float *in, const float *gy,       \
                                               int n_rows, float *gradient, size_t gradient_row)                         \
    {                                                                                                                    \
        correlate_vectors(w, row, in, gy, n_rows, gradient, gradient_row, outputs, vectors);                             \
    }
CORRELATE_BLOCK(1, 1) CORRELATE_BLOCK(2, 1) CORRELATE_BLOCK(3, 1) CORRELATE_BLOCK(4, 1)
CORRELATE_BLOCK(1, 2) CORRELATE_BLOCK(2, 2) CORRELATE_BLOCK(3, 2) CORRELATE_BLOCK(4, 2)
CORRELATE_BLOCK(1, 3) CORRELATE_BLOCK(2, 3) CORRELATE_BLOCK(3, 3) CORRELATE_BLOCK(4, 3)

typedef void correlate_block(const struct windows *, int, const float *, const float *, int, float *, size_t);
static correlate_block *const correlate_blocks[3][5] = {
    {0, correlate_1_1, correlate_2_1, correlate_3_1, correlate_4_1},
    {0, correlate_1_2, correlate_2_2, correlate_3_2, correlate_4_2},
    {0, correlate_1_3, correlate_2_3, correlate_3_3, correlate_4_3},
};

/* gradient: of one output, for all outputs. */
static void correlate_rows(const struct convolution *c, int row, const float *in, const float *gy, int n_rows,
                           float *gradient)
{
    const struct windows *w = &c->w;
    const int n_vectors = quotient_up(w->kw * w->channels, WIDTH), n_places = w->out_h * w->out_w;
    const int n_blocks = quotient_up(n_vectors, 3), small = n_vectors / n_blocks;
    const size_t gradient_row = (size_t)w->kh * n_vectors * WIDTH;
    for (int ky = 0; ky < w->kh; ky++, in += row, gradient += n_vectors * WIDTH)
        for (int b = 0, first = 0, size; b < n_blocks; b++, first += size) {
            size = small + (b < n_vectors - n_blocks * small);
            for (int o = 0; o < c->outputs; o += 4)
                correlate_blocks[size - 1][smaller(4, c->outputs - o)](w, row, in + first * WIDTH,
                    gy + (size_t)o * n_places, n_rows, gradient + o * gradient_row + first * WIDTH, gradient_row);
        }
}

/* x (N, C, H, W), gy (N, O, out_h, out_w) -> adds the gradient of the weights, [output][ky][kx][c], where what belongs to
 * one ky fills whole vectors. */
int branchynet_correlate(int start, int stop, void *const *given, void *const *own)
{
    const struct convolution *c = given[0];
    const float *x = given[1];
    const float *gy = given[2];
    float *gradient = own[0];
    struct memory m;
    const struct windows *w = &c->w;
    if (get_memory(w, &m)) return -1;
    /* So many places at once that what is read of them stays in the first-level cache. */
    const int n_places = w->out_h * w->out_w, rows_at_once = larger(1, 96 / w->out_w);
    for (int i = start; i < stop; i++) {
        put_image(w, &m, x + (size_t)i * w->channels * w->height * w->width);
        for (int y = 0; y < w->out_h; y += rows_at_once)
            correlate_rows(c, m.row, m.image + y * w->sy * m.row,
                           gy + (size_t)i * c->outputs * n_places + y * w->out_w, smaller(rows_at_once, w->out_h - y),
                           gradient);
    }
    give_back(&m);
    return 0;
}
