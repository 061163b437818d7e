/* Pooling, one channel of one image at a time. With strides (sy, sx) it is read as sy * sx planes: plane (i, j) holds
 * the rows i, i + sy, ... and the columns j, j + sx, ... of the image, with -inf around it. What all windows read at one
 * offset then lies in one plane, in the order of the windows, and vectors go along it.
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
