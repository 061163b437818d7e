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
