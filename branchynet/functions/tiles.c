/* Convolution and the gradient of its weights by tiles: see `winograd.h`. Blocks are whole rows of tiles, of one image or
 * of several.
 */

struct tiling {
    struct convolution c;
    int32_t side, n; /* pixels that a tile reads in a row, outputs of a tile in a row */
    int32_t rows;    /* of tiles, in a block */
    int32_t images;  /* that are in memory at a time */
};

/* What is computed with: images with their padding, their outputs, pixel after pixel, and of a block the numbers and sums
 * of each place. */
struct block {
    int down, across; /* tiles in a column and in a row of an image */
    int row, image;   /* floats from a row of an image to the next, from an image to the next */
    int number_place, sum_place;
    float *images, *outputs, *numbers, *sums, *turned;
};

static void give_block_back(struct block *b)
{
    free(b->images), free(b->outputs), free(b->numbers), free(b->sums), free(b->turned);
}

static int get_block(const struct tiling *t, struct block *b)
{
    const struct windows *w = &t->c.w;
    b->down = quotient_up(w->out_h, t->n), b->across = quotient_up(w->out_w, t->n);
    b->row = larger(w->pw + w->width, b->across * t->n + w->kw - 1) * w->channels;
    b->image = larger(w->ph + w->height, b->down * t->n + w->kh - 1) * b->row;
    b->number_place = t->rows * b->across * w->channels + PLACE_GAP;
    b->sum_place = t->rows * b->across * rounded_up(t->c.outputs, GROUP) + PLACE_GAP;
    const size_t places = t->side * t->side, outputs = rounded_up(t->c.outputs, GROUP);
    const size_t image_of_outputs = (size_t)b->down * b->across * t->n * t->n * outputs;
    b->images = calloc((size_t)t->images * b->image + SLACK, sizeof(float));
    b->outputs = calloc(t->images * image_of_outputs + SLACK, sizeof(float));
    b->numbers = malloc((places * b->number_place + SLACK) * sizeof(float));
    b->sums = malloc((places * b->sum_place + SLACK) * sizeof(float));
    b->turned = malloc((t->rows * b->across * outputs + SLACK) * sizeof(float));
    if (b->images && b->outputs && b->numbers && b->sums && b->turned) return 0;
    give_block_back(b);
    return -1;
}

/* The transforms by kernel and outputs of a tile, with sizes that the compiler knows. */
#define TRANSFORMS(k, n)                                                                                                 \
    STAGE void transform_tile_##k##_##n(const float *in, float *out, int channels, int row, int place)                   \
    {                                                                                                                    \
        transform_tile(in, out, k + n - 1, channels, row, channels, place);                                              \
    }                                                                                                                    \
    STAGE void transform_sums_##k##_##n(const float *sums, const float *bias, float *out, int n_outputs, int place,      \
                                        int row, int relu)                                                               \
    {                                                                                                                    \
        transform_sums(sums, bias, out, k + n - 1, n, n_outputs, place, n, n, row, GROUP, relu);                         \
    }                                                                                                                    \
    STAGE void transform_outputs_##k##_##n(const float *in, float *out, int n_outputs, int row, int place)               \
    {                                                                                                                    \
        transform_outputs(in, out, k + n - 1, n, n_outputs, row, n_outputs, place);                                      \
    }
TRANSFORMS(3, 2) TRANSFORMS(3, 4) TRANSFORMS(3, 6) TRANSFORMS(5, 2) TRANSFORMS(5, 4)

static const struct transforms {
    void (*tile)(const float *, float *, int, int, int);
    void (*sums)(const float *, const float *, float *, int, int, int, int);
    void (*outputs)(const float *, float *, int, int, int);
} all_transforms[2][3] = {
    {{transform_tile_3_2, transform_sums_3_2, transform_outputs_3_2},
     {transform_tile_3_4, transform_sums_3_4, transform_outputs_3_4},
     {transform_tile_3_6, transform_sums_3_6, transform_outputs_3_6}},
    {{transform_tile_5_2, transform_sums_5_2, transform_outputs_5_2},
     {transform_tile_5_4, transform_sums_5_4, transform_outputs_5_4}},
};

static const struct transforms *transforms_of(const struct tiling *t)
{
    return &all_transforms[t->c.w.kh == 5][t->n / 2 - 1];
}

/* Images `first` and following, with their padding. */
static void put_images(const struct windows *w, const float *x, int first, int n_images, int row, int image,
                       float *images)
{
    for (int i = 0; i < n_images; i++) {
        struct memory m = {row, images + (size_t)i * image, 0};
        put_image(w, &m, x + (size_t)(first + i) * w->channels * w->height * w->width);
    }
}

/* The numbers of some rows of tiles, counted over the images. */
static void transform_rows(const struct tiling *t, struct block *b, int first, int n_rows)
{
    const int channels = t->c.w.channels;
    for (int r = first; r < first + n_rows; r++)
        for (int x = 0; x < b->across; x++) {
            const float *image = b->images + (size_t)(r / b->down) * b->image;
            const float *in = image + (r % b->down) * t->n * b->row + x * t->n * channels;
            float *out = b->numbers + ((r - first) * b->across + x) * channels;
            transforms_of(t)->tile(in, out, channels, b->row, b->number_place);
        }
}

/* As a convolution: `n_tiles` pixels beside each other, and a kernel of one. */
static struct convolution product(const struct tiling *t, int n_tiles)
{
    const struct windows w = {.channels = t->c.w.channels, .kh = 1, .kw = 1, .sx = 1, .out_h = 1, .out_w = n_tiles};
    return (struct convolution){.w = w, .outputs = t->c.outputs};
}

/* weights: [place][group][c][output of the group]. */
static void multiply(const struct tiling *t, struct block *b, const float *weights, int n_tiles)
{
    const struct convolution c = product(t, n_tiles);
    for (int place = 0; place < t->side * t->side; place++)
        for (int first = 0; first < c.outputs; first += GROUP, weights += c.w.channels * GROUP)
            convolve_row(&c, 0, b->numbers + place * b->number_place, ZEROS, weights,
                         b->sums + place * b->sum_place + first * n_tiles, c.outputs - first > WIDTH ? 2 : 1);
}

/* One group of outputs of a row of tiles, from its sums to where they go. */
static void put_tiles(const struct tiling *t, struct block *b, const float *sums, const float *bias, int y, int here,
                      float *target)
{
    const int row = b->across * t->n * GROUP, wide = here > WIDTH ? GROUP : WIDTH;
    for (int x = 0; x < b->across; x++, sums += GROUP) {
        float *out = b->outputs + x * t->n * GROUP;
        transforms_of(t)->sums(sums, bias, out, wide, b->sum_place, row, t->c.relu);
    }
    for (int k = 0; k < t->n && y + k < t->c.w.out_h; k++)
        put_row(&t->c, b->outputs + k * row, target + (y + k) * t->c.step_y, here);
}

/* x (N, C, H, W) -> y, as branchynet_convolve. weights: of `multiply`; bias: for each output, in whole groups. */
int branchynet_convolve_tiles(int start, int stop, void *const *given, void *const *own)
{
    const struct tiling *t = given[0];
    const float *x = given[1];
    const float *weights = given[2];
    const float *bias = given[3];
    float *y = given[4];
    struct block b;
    if (get_block(t, &b)) return -1;
    for (int i = start, n_images; i < stop; i += n_images) {
        n_images = smaller(t->images, stop - i);
        put_images(&t->c.w, x, i, n_images, b.row, b.image, b.images);
        for (int first = 0, n_rows; first < n_images * b.down; first += n_rows) {
            n_rows = smaller(t->rows, n_images * b.down - first);
            transform_rows(t, &b, first, n_rows);
            multiply(t, &b, weights, n_rows * b.across);
            for (int o = 0; o < t->c.outputs; o += GROUP)
                for (int r = first; r < first + n_rows; r++)
                    put_tiles(t, &b, b.sums + o * n_rows * b.across + (r - first) * b.across * GROUP, bias + o,
                              r % b.down * t->n, smaller(GROUP, t->c.outputs - o),
                              y + (size_t)(i + r / b.down) * t->c.image_step + o * t->c.channel_step);
        }
    }
    give_block_back(&b);
    return 0;
}

/* The numbers of the gradients of some rows of tiles, into `sums`: for each place, tile after tile. */
static void transform_gradients(const struct tiling *t, struct block *b, int first, int n_rows)
{
    const int n_outputs = t->c.outputs, row = b->across * t->n * n_outputs;
    for (int r = first; r < first + n_rows; r++)
        for (int x = 0; x < b->across; x++) {
            const float *in = b->outputs + (size_t)r * t->n * row + x * t->n * n_outputs;
            float *out = b->sums + ((r - first) * b->across + x) * n_outputs;
            transforms_of(t)->outputs(in, out, n_outputs, row, b->sum_place);
        }
}

/* x (N, C, H, W), gy (N, O, out_h, out_w) -> adds the gradient of the weights of each place, [place][output][c], where an
 * output fills whole vectors. */
int branchynet_correlate_tiles(int start, int stop, void *const *given, void *const *own)
{
    const struct tiling *t = given[0];
    const float *x = given[1];
    const float *gy = given[2];
    float *gradient = own[0];
    struct block b;
    if (get_block(t, &b)) return -1;
    const int n_outputs = t->c.outputs, row = b.across * t->n * n_outputs, image = b.down * t->n * row;
    const struct windows of_gy = {.channels = n_outputs, .height = t->c.w.out_h, .width = t->c.w.out_w};
    const size_t place_size = (size_t)n_outputs * rounded_up(t->c.w.channels, WIDTH);
    for (int i = start, n_images; i < stop; i += n_images) {
        n_images = smaller(t->images, stop - i);
        put_images(&t->c.w, x, i, n_images, b.row, b.image, b.images);
        put_images(&of_gy, gy, i, n_images, row, image, b.outputs);
        for (int first = 0, n_rows; first < n_images * b.down; first += n_rows) {
            n_rows = smaller(t->rows, n_images * b.down - first);
            const struct convolution c = product(t, n_rows * b.across);
            transform_rows(t, &b, first, n_rows);
            transform_gradients(t, &b, first, n_rows);
            for (int place = 0; place < t->side * t->side; place++) {
                transpose(b.sums + place * b.sum_place, n_outputs, c.w.out_w, n_outputs, b.turned, c.w.out_w);
                correlate_rows(&c, 0, b.numbers + place * b.number_place, b.turned, 1, gradient + place * place_size);
            }
        }
    }
    give_block_back(&b);
    return 0;
}
