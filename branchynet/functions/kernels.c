/* Kernels of training, behind `vectors.h` and `team.h`: batches (N, C, H, W) of float32, row by row without gaps. Sizes are not known
 * when this is compiled. A kernel unpacks what it is given, works on some samples, and returns 0, or -1 where memory is
 * short (`kernel` of team.h).
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

/* ---- Windows ------------------------------------------------------------------------------------------------------- */

struct windows { int32_t channels, height, width, kh, kw, sy, sx, ph, pw, out_h, out_w; };

/* ---- Convolution ---------------------------------------------------------------------------------------------------
 *
 * Image by image, with the channels of a pixel beside each other, padding around it, and outputs in groups of GROUP.
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
                float *target = y + (size_t)i * c->image_step + first * c->channel_step + row * c->step_y;
                convolve_row(c, m.row, m.image + row * w->sy * m.row, bias + first, weights + first * n_taps, m.outputs,
                             here > WIDTH ? 2 : 1);
                if (c->step_x == 1)
                    transpose(m.outputs, GROUP, w->out_w, here, target, c->channel_step);
                else
                    for (int o = 0; o < here; o++)
                        for (int p = 0; p < w->out_w; p++)
                            target[o * c->channel_step + p * c->step_x] = m.outputs[p * GROUP + o];
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

/* ---- Pooling -------------------------------------------------------------------------------------------------------
 *
 * One channel of one image at a time. With strides (sy, sx) it is read as sy * sx planes: plane (i, j) holds the rows
 * i, i + sy, ... and the columns j, j + sx, ... of the image, with -inf around it. What all windows read at one offset
 * then lies in one plane, in the order of the windows, and vectors go along it.
 */

struct grid { int rows, row, places, planes; };

static struct grid grid_of(const struct windows *w)
{
    struct grid g;
    g.rows = larger(quotient_up(w->ph + w->height, w->sy), quotient_up((w->out_h - 1) * w->sy + w->kh - w->ph, w->sy));
    g.row = larger(quotient_up(w->pw + w->width, w->sx), quotient_up((w->out_w - 1) * w->sx + w->kw - w->pw, w->sx));
    g.rows = larger(g.rows, w->out_h);
    g.row = larger(g.row, w->out_w);
    g.places = g.rows * g.row;
    g.planes = w->sy * w->sx;
    return g;
}

INLINE void split_row(const float *in, float *out, int n, int step)
{
    for (int i = 0; i < n; i++) out[i] = in[i * step];
}

INLINE void join_row(const float *in, float *out, int n, int step)
{
    for (int i = 0; i < n; i++) out[i * step] = in[i];
}

/* One channel of an image into its planes, or, with `back`, the other way. Nothing is written around the image. */
INLINE void move_channel(float *image, float *planes, const struct windows *w, struct grid g, int plane, int back)
{
    for (int i = 0; i < w->sy; i++)
        for (int j = 0; j < w->sx; j++) {
            const int first_row = larger(quotient_up(w->ph - i, w->sy), 0); /* of the plane that is in the image */
            const int first = larger(quotient_up(w->pw - j, w->sx), 0);
            const int x = j + first * w->sx - w->pw, n = quotient_up(w->width - x, w->sx);
            float *in_plane = planes + (i * w->sx + j) * plane + first_row * g.row + first;
            for (int y = i + first_row * w->sy - w->ph; y < w->height; y += w->sy, in_plane += g.row) {
                float *in_image = image + y * w->width + x;
                if (!back && w->sx == 1) memcpy(in_plane, in_image, sizeof(float) * n);
                else if (!back && w->sx == 2) split_row(in_image, in_plane, n, 2);
                else if (!back) split_row(in_image, in_plane, n, w->sx);
                else if (w->sx == 1) memcpy(in_image, in_plane, sizeof(float) * n);
                else if (w->sx == 2) join_row(in_plane, in_image, n, 2);
                else join_row(in_plane, in_image, n, w->sx);
            }
        }
}

/* What pooling computes with: the planes, of so many floats each, and where a window that begins at place 0 reads its
 * numbers. */
struct pooling { struct grid g; int plane, n_numbers; int *offsets; float *planes; };

static void give_pooling_back(struct pooling *p) { free(p->offsets), free(p->planes); }

static int get_pooling(const struct windows *w, struct pooling *p, float padding)
{
    p->g = grid_of(w);
    p->plane = rounded_up(p->g.places + (w->kh / w->sy + 1) * p->g.row + 2 * WIDTH, WIDTH);
    p->n_numbers = w->kh * w->kw;
    const size_t size = (size_t)p->g.planes * p->plane + SLACK;
    p->offsets = malloc(sizeof(int) * p->n_numbers);
    p->planes = malloc(sizeof(float) * size);
    if (!p->offsets || !p->planes) {
        give_pooling_back(p);
        return -1;
    }
    for (size_t i = 0; i < size; i++) p->planes[i] = padding;
    for (int ky = 0; ky < w->kh; ky++)
        for (int kx = 0; kx < w->kw; kx++)
            p->offsets[ky * w->kw + kx] =
                (ky % w->sy * w->sx + kx % w->sx) * p->plane + ky / w->sy * p->g.row + kx / w->sx;
    return 0;
}

/* The vectors that begin in a row: the last may write past it, where what comes next is written later. */
#define FOR_COLUMNS(w) for (int column = 0; column < (w)->out_w; column += WIDTH)

/* x (N, C, H, W) -> y (N, C, out_h, out_w), and which number of each window is the first largest, -1 for none. With relu,
 * zeros are largest where there is no positive number. NaN is larger than all. */
int branchynet_max_pooling(int start, int stop, void *const *given, void *const *own)
{
    const struct windows *w = given[0];
    const float *x = given[1];
    const int relu = *(const int *)given[2];
    float *y = given[3];
    int32_t *indices = given[4];
    struct pooling p;
    if (get_pooling(w, &p, -INFINITY)) return -1;
    const size_t channels = w->channels, size = w->height * w->width, n = channels * w->out_h * w->out_w;
    const float *end = y + stop * n;
    x += start * channels * size, y += start * n, indices += start * n;
    for (size_t i = start * channels; i < stop * channels; i++, x += size) {
        move_channel((float *)x, p.planes, w, p.g, p.plane, 0);
        for (int row = 0; row < w->out_h; row++, y += w->out_w, indices += w->out_w)
            FOR_COLUMNS(w) {
                const float *place = p.planes + row * p.g.row + column;
                vec top = relu ? (vec){0} : load(place);
                bits index = relu ? ~(bits){0} : (bits){0};
                for (int k = relu ? 0 : 1; k < p.n_numbers; k++) {
                    const vec number = load(place + p.offsets[k]);
                    const bits take = (bits)(number > top) | (bits)(number != number);
                    top = (vec)(((bits)number & take) | ((bits)top & ~take));
                    index = ((uint32_t)k & take) | (index & ~take);
                }
                store_part(y + column, top, end - y - column);
                store_part((float *)indices + column, (vec)index, end - y - column);
            }
    }
    give_pooling_back(&p);
    return 0;
}

/* x (N, C, H, W) -> y (N, C, out_h, out_w), means; numbers of the padding, zeros, count. */
int branchynet_average_pooling(int start, int stop, void *const *given, void *const *own)
{
    const struct windows *w = given[0];
    const float *x = given[1];
    float *y = given[2];
    struct pooling p;
    if (get_pooling(w, &p, 0)) return -1;
    const size_t channels = w->channels, size = w->height * w->width, n = channels * w->out_h * w->out_w;
    const float *end = y + stop * n;
    x += start * channels * size, y += start * n;
    for (size_t i = start * channels; i < stop * channels; i++, x += size) {
        move_channel((float *)x, p.planes, w, p.g, p.plane, 0);
        for (int row = 0; row < w->out_h; row++, y += w->out_w)
            FOR_COLUMNS(w) {
                const float *place = p.planes + row * p.g.row + column;
                vec sum = load(place);
                for (int k = 1; k < p.n_numbers; k++) sum += load(place + p.offsets[k]);
                store_part(y + column, sum / (float)p.n_numbers, end - y - column);
            }
    }
    give_pooling_back(&p);
    return 0;
}

/* Adds to the planes what each window sends back: gy, and which of its numbers takes it, at the places where the windows
 * begin, with zeros around. */
INLINE void send_back(const struct pooling *p, const float *gy, const int32_t *indices)
{
    for (int k = 0; k < p->n_numbers; k++) {
        float *target = p->planes + p->offsets[k];
        for (int q = 0; q < p->g.places; q += WIDTH) {
            const bits sent = (bits)load(gy + q);
            const bits here = indices ? (bits)((bits)load((const float *)indices + q) == (uint32_t)k) : ~(bits){0};
            store(target + q, load(target + q) + (vec)(sent & here));
        }
    }
}

/* gy (N, C, out_h, out_w) -> gx (N, C, H, W): to the numbers that `indices` names, or an equal share to every number. */
int branchynet_pooling_gradient(int start, int stop, void *const *given, void *const *own)
{
    const struct windows *w = given[0];
    const float *gy = given[1];
    const int32_t *indices = given[2];
    float *gx = given[3];
    struct pooling p;
    if (get_pooling(w, &p, 0)) return -1;
    const size_t channels = w->channels, size = w->height * w->width;
    float *sent = calloc(p.g.places + SLACK, sizeof(float));
    int32_t *chosen = calloc(p.g.places + SLACK, sizeof(int32_t));
    for (size_t i = start * channels; sent && chosen && i < stop * channels; i++) {
        for (int row = 0; row < w->out_h; row++) {
            const size_t from = i * w->out_h * w->out_w + row * w->out_w, to = row * p.g.row;
            for (int c = 0; c < w->out_w; c++) sent[to + c] = indices ? gy[from + c] : gy[from + c] / p.n_numbers;
            if (indices) memcpy(chosen + to, indices + from, sizeof(int32_t) * w->out_w);
        }
        memset(p.planes, 0, sizeof(float) * p.g.planes * p.plane);
        if (indices) send_back(&p, sent, chosen);
        else send_back(&p, sent, 0);
        move_channel(gx + i * size, p.planes, w, p.g, p.plane, 1);
    }
    const int result = sent && chosen ? 0 : -1;
    free(sent), free(chosen);
    give_pooling_back(&p);
    return result;
}

/* ---- Local response normalisation -----------------------------------------------------------------------------------
 *
 * WIDTH pixels at a time, all channels of them, of images (n, C, size).
 */

struct normalisation { int32_t channels, size, n; float k, alpha, beta; };

/* The sum over the n channels around channel c, of numbers with n / 2 zeros in front of them and behind. */
INLINE vec sum_around(const vec *numbers, int c, int n)
{
    vec sum = numbers[c];
    for (int i = 1; i < n; i++) sum += numbers[c + i];
    return sum;
}

/* x -> y, or, with gy, x and gy -> gx. squares, shares: C + n vectors. */
INLINE void normalise_pixels(const struct normalisation *s, const float *x, const float *gy, float *out, vec *squares,
                             vec *shares, int n_pixels)
{
    const int half = s->n / 2;
    for (int c = 0; c < s->channels; c++) {
        const vec value = load_part(x + (size_t)c * s->size, n_pixels);
        squares[half + c] = value * value;
    }
    for (int c = 0; c < s->channels; c++) {
        const size_t at = (size_t)c * s->size;
        const vec base = s->k + s->alpha * sum_around(squares, c, s->n), scale = inverse_power(base, s->beta);
        const vec value = load_part(x + at, n_pixels);
        if (!gy) {
            store_part(out + at, value * scale, n_pixels);
            continue;
        }
        const vec share = load_part(gy + at, n_pixels) * scale;
        store_part(out + at, share, n_pixels);
        shares[half + c] = value * share / base;
    }
    for (int c = 0; gy && c < s->channels; c++) {
        const size_t at = (size_t)c * s->size;
        const vec around = 2 * s->alpha * s->beta * sum_around(shares, c, s->n);
        store_part(out + at, load_part(out + at, n_pixels) - load_part(x + at, n_pixels) * around, n_pixels);
    }
}

/* x (N, C, size) -> y (N, C, size); with gy, x and gy -> gx. */
int branchynet_local_response(int start, int stop, void *const *given, void *const *own)
{
    const struct normalisation *s = given[0];
    const float *x = given[1];
    const float *gy = given[2];
    float *out = given[3];
    const size_t image = (size_t)s->channels * s->size;
    vec *squares = calloc(2 * (s->channels + s->n), sizeof(vec)), *shares = squares + s->channels + s->n;
    if (!squares) return -1;
    for (size_t at = start * image; at < stop * image; at += image)
        for (int p = 0; p < s->size; p += WIDTH)
            normalise_pixels(s, x + at + p, gy ? gy + at + p : 0, out + at + p, squares, shares, smaller(WIDTH, s->size - p));
    free(squares);
    return 0;
}

/* ---- Batch normalisation --------------------------------------------------------------------------------------------
 *
 * Channels of images (N, C, size). Sums of an image are float32, those over images float64.
 */

#define FOR_CHANNELS(start, stop, channels)                                                                              \
    for (size_t i = start, at = (size_t)start * channels * size; i < (size_t)stop; i++)                                  \
        for (int c = 0; c < channels; c++, at += size)

/* Of each channel: how many numbers, their mean, and the sum of squared deviations from it; image after image (Chan, Golub,
 * LeVeque 1979). */
int branchynet_statistics(int start, int stop, void *const *given, void *const *own)
{
    const int channels = *(const int *)given[0];
    const int size = *(const int *)given[1];
    const float *x = given[2];
    double *count = own[0];
    double *mean = own[1];
    double *squares = own[2];
    FOR_CHANNELS(start, stop, channels) {
        vec sum = {0}, deviations = {0};
        for (int p = 0; p < size; p += WIDTH) sum += load_part(x + at + p, size - p);
        const float here = total(sum) / size;
        int p = 0;
        for (; p + WIDTH <= size; p += WIDTH) deviations += (load(x + at + p) - here) * (load(x + at + p) - here);
        float square = total(deviations);
        for (; p < size; p++) square += (x[at + p] - here) * (x[at + p] - here);
        const double difference = here - mean[c], before = count[c];
        count[c] += size;
        mean[c] += difference * size / count[c];
        squares[c] += square + difference * difference * size * before / count[c];
    }
    return 0;
}

/* y = a[c] * x + shift[c], plus the shortcut if there is one; with relu, negative numbers become 0. */
int branchynet_normalise(int start, int stop, void *const *given, void *const *own)
{
    const int channels = *(const int *)given[0];
    const int size = *(const int *)given[1];
    const float *x = given[2];
    const float *a = given[3];
    const float *shift = given[4];
    const float *shortcut = given[5];
    const int relu = *(const int *)given[6];
    float *y = given[7];
    FOR_CHANNELS(start, stop, channels) {
        if (shortcut)
            for (size_t p = at; p < at + size; p++) y[p] = a[c] * x[p] + shift[c] + shortcut[p];
        else
            for (size_t p = at; p < at + size; p++) y[p] = a[c] * x[p] + shift[c];
        if (relu)
            for (size_t p = at; p < at + size; p++) y[p] = y[p] < 0 ? 0 : y[p];
    }
    return 0;
}

/* gx = a[c] * gy + b[c] * x + shift[c]. */
int branchynet_normalise_gradient(int start, int stop, void *const *given, void *const *own)
{
    const int channels = *(const int *)given[0];
    const int size = *(const int *)given[1];
    const float *gy = given[2];
    const float *x = given[3];
    const float *a = given[4];
    const float *b = given[5];
    const float *shift = given[6];
    float *gx = given[7];
    FOR_CHANNELS(start, stop, channels)
        for (size_t p = at; p < at + size; p++) gx[p] = a[c] * gy[p] + b[c] * x[p] + shift[c];
    return 0;
}

/* Of each channel: adds the sums of gy and of gy * x. */
int branchynet_sums(int start, int stop, void *const *given, void *const *own)
{
    const int channels = *(const int *)given[0];
    const int size = *(const int *)given[1];
    const float *x = given[2];
    const float *gy = given[3];
    double *of_gy = own[0];
    double *of_products = own[1];
    FOR_CHANNELS(start, stop, channels) {
        vec sum = {0}, products = {0};
        for (int p = 0; p < size; p += WIDTH) {
            const vec g = load_part(gy + at + p, size - p);
            sum += g;
            products += g * load_part(x + at + p, size - p);
        }
        of_gy[c] += total(sum);
        of_products[c] += total(products);
    }
    return 0;
}
