/* Kernels of an early-exit network that is compiled for a GPU: CUDA C, in front of `scores.h` and the stages.
 *
 * In front of it: SAMPLE, what a sample comes as, and number_of, what the network reads of it.
 *
 * An image is stored as it comes: channel, row, column, no padding. What a window reads outside the image is 0, or is
 * left out where a maximum is taken. Sizes come in as constants, so that the compiler knows every shape.
 *
 * A stage is cut into tiles, and a team of threads shares them out: a block, or the whole grid. `parts` neighbouring
 * threads of a warp (a power of 2, at most 32) compute one tile together, each some of the inputs, and add up.
 */

#define INLINE static __device__ __forceinline__
/* A function for each stage: layers of one shape share it. */
#define STAGE static __device__ __noinline__
#define WARP 32

#ifndef SHARED_MEMORY /* where no GPU runs this, memory of a block is got otherwise */
#define SHARED_MEMORY(name) extern __shared__ float name[]
#define FETCH(address) asm volatile("prefetch.global.L1 [%0];" ::"l"(address))
#endif

INLINE int smaller(int a, int b) { return a < b ? a : b; }
INLINE int larger(int a, int b) { return a > b ? a : b; }

/* ---- Who computes ----------------------------------------------------------------------------------------------- */

/* The threads that compute a stage, and for whom.
 *
 * rank, size: of this thread, of all. left: the samples that are still on their way, n_left of them, whose numbers lie
 * `distance` floats apart; 0 where the stage is of one sample. partial: shared memory for sums of which each warp has a
 * part, where warps share a tile. */
struct team {
    int rank, size;
    const int *left;
    int n_left;
    long long distance;
    float *partial;
};

INLINE struct team block_team(float *partial)
{
    const struct team team = {(int)threadIdx.x, (int)blockDim.x, 0, 1, 0, partial};
    return team;
}

INLINE struct team grid_team(float *partial)
{
    const int rank = blockIdx.x * blockDim.x + threadIdx.x, size = gridDim.x * blockDim.x;
    const struct team team = {rank, size, 0, 1, 0, partial};
    return team;
}

/* The whole grid, for the samples that an exit has left over. lists: for each exit how many come to it, then for each
 * exit room for `most` of them. */
INLINE struct team team_for_left(const int *lists, int exits, int exit, int most, long long distance)
{
    struct team team = grid_team(0);
    team.n_left = lists[exit];
    team.left = lists + exits + (long long)exit * most;
    team.distance = distance;
    return team;
}

/* A tile of a stage, as one thread sees it: its number, which part of it is this thread's, whether it is there at all
 * (all threads of a warp go round together), and where the sample's numbers begin. */
struct tile {
    int number, part, exists;
    long long sample;
};

/* The tiles of a stage: for (int first = first_tile(...); first < team.n_left * tiles; first += tiles_at_once(...)). */
INLINE int first_tile(struct team team, int parts) { return team.rank / WARP * (WARP / parts); }
INLINE int tiles_at_once(struct team team, int parts) { return team.size / parts; }

INLINE struct tile tile_of(struct team team, int first, int tiles, int parts)
{
    struct tile tile;
    const int index = first + team.rank % WARP / parts, last = team.n_left * tiles - 1;
    const int i = smaller(index, last);
    tile.number = i % tiles;
    tile.part = team.rank % parts;
    tile.exists = index <= last;
    tile.sample = team.left ? team.left[i / tiles] * team.distance : 0;
    return tile;
}

/* ---- Convolution and fully connected layer --------------------------------------------------------------------------
 *
 * A tile is GROUP output channels of PIXELS neighbouring pixels. Weights are packed [group][c][ky][kx][channel of the
 * group], behind the group's biases; a group is rounded up to whole vectors of four floats.
 */
template <int GROUP> INLINE void load_group(float *to, const float *from)
{
#pragma unroll
    for (int i = 0; i < GROUP; i += 4) {
        const float4 four = *(const float4 *)(from + i);
        to[i] = four.x, to[i + 1] = four.y, to[i + 2] = four.z, to[i + 3] = four.w;
    }
}

/* How many threads compute a tile together, where there are not enough tiles for all: what takes time then is waiting,
 * line after line. More than half of the threads would be in each other's way. */
INLINE int parts_of_few(struct team team, int tiles, int lines)
{
    int parts = 1;
    while (parts < WARP && 2 * parts <= lines && 4LL * parts * team.n_left * tiles <= team.size) parts *= 2;
    return parts;
}

/* Adds what a line of the input brings to a tile's sums: from `left` on, values of a row with `width` columns, where
 * they are there at all, and the weights of as many channels as there are sums. */
template <int OUTPUTS, int PIXELS, int STEP, int KW, int STRIDE_X>
INLINE void add_line(float (&sums)[OUTPUTS][PIXELS], const float *row, int left, int width, bool is_there,
                     const float *weights)
{
    constexpr int SPAN = (PIXELS - 1) * STRIDE_X + KW;
    float values[SPAN], w[(OUTPUTS + 3) / 4 * 4];
    const unsigned readable = is_there ? width : 0; /* one comparison: a column left of the image is a large number */
#pragma unroll
    for (int i = 0; i < SPAN; i++) values[i] = (unsigned)(left + i) < readable ? row[left + i] : 0.0f;
#pragma unroll
    for (int kx = 0; kx < KW; kx++) {
        load_group<OUTPUTS>(w, weights + STEP * kx);
#pragma unroll
        for (int o = 0; o < OUTPUTS; o++)
#pragma unroll
            for (int p = 0; p < PIXELS; p++) sums[o][p] += w[o] * values[p * STRIDE_X + kx];
    }
}

/* The shortcut around a residual block: every stride-th pixel of an image is added, in its first channels. */
struct shortcut {
    const float *image;
    int channels, height, width, stride;
};

INLINE float with_shortcut(float sum, struct shortcut shortcut, long long sample, int channel, int y, int x)
{
    if (channel >= shortcut.channels) return sum;
    const int row = channel * shortcut.height + y * shortcut.stride;
    return sum + shortcut.image[sample + row * shortcut.width + x * shortcut.stride];
}

INLINE float rectified(float value, int relu) { return relu && value < 0 ? 0.0f : value; }

/* A fully connected layer is a convolution of an image of one pixel. parts: threads that compute a tile together; 0 for
 * one, and more where there are few tiles. */
template <int GROUP, int PIXELS, int KH, int KW, int STRIDE_X>
INLINE void convolution(const float *in, struct shortcut shortcut, const float *weights, float *out, struct team team,
                        int parts, int channels, int in_h, int in_w, int stride_y, int pad_y, int pad_x, int n_outputs,
                        int out_h, int out_w, int relu)
{
    constexpr int STEP = (GROUP + 3) / 4 * 4;
    const int tiles_x = (out_w + PIXELS - 1) / PIXELS, groups = (n_outputs + GROUP - 1) / GROUP;
    const int tiles = groups * out_h * tiles_x;
    if (!parts) parts = parts_of_few(team, tiles, channels * KH);
    for (int first = first_tile(team, parts); first < team.n_left * tiles; first += tiles_at_once(team, parts)) {
        const struct tile tile = tile_of(team, first, tiles, parts);
        const int x = tile.number % tiles_x * PIXELS, y = tile.number / tiles_x % out_h;
        const int group = tile.number / (tiles_x * out_h);
        const float *image = in + tile.sample, *packed = weights + group * STEP * (1 + channels * KH * KW);
        float sums[GROUP][PIXELS], w[STEP];
        load_group<GROUP>(w, packed);
#pragma unroll
        for (int o = 0; o < GROUP; o++)
#pragma unroll
            for (int p = 0; p < PIXELS; p++) sums[o][p] = tile.part == 0 ? w[o] : 0.0f;
        for (int line = tile.part; line < channels * KH; line += parts) {
            const int row = y * stride_y - pad_y + line % KH;
            if (row < 0 || row >= in_h) continue;
            const float *from = image + (line / KH * in_h + row) * in_w;
            add_line<GROUP, PIXELS, STEP, KW, STRIDE_X>(sums, from, x * STRIDE_X - pad_x, in_w, true,
                                                        packed + STEP * (1 + line * KW));
        }
        for (int distance = parts / 2; distance > 0; distance /= 2)
#pragma unroll
            for (int o = 0; o < GROUP; o++)
#pragma unroll
                for (int p = 0; p < PIXELS; p++) sums[o][p] += __shfl_xor_sync(0xffffffffu, sums[o][p], distance);
#pragma unroll
        for (int o = 0; o < GROUP; o++)
#pragma unroll
            for (int p = 0; p < PIXELS; p++) {
                const int channel = group * GROUP + o;
                if (tile.exists && tile.part == 0 && channel < n_outputs && x + p < out_w)
                    out[tile.sample + (channel * out_h + y) * out_w + x + p] =
                        rectified(with_shortcut(sums[o][p], shortcut, tile.sample, channel, y, x + p), relu);
            }
    }
}

/* ---- Pooling: a tile is one number ------------------------------------------------------------------------------ */

INLINE void pooling(const float *in, float *out, struct team team, int channels, int in_h, int in_w, int kh, int kw,
                    int stride_y, int stride_x, int pad_y, int pad_x, int out_h, int out_w, int is_maximum)
{
    const int tiles = channels * out_h * out_w;
    for (int first = first_tile(team, 1); first < team.n_left * tiles; first += tiles_at_once(team, 1)) {
        const struct tile tile = tile_of(team, first, tiles, 1);
        const int y = tile.number / out_w % out_h * stride_y - pad_y, x = tile.number % out_w * stride_x - pad_x;
        const float *plane = in + tile.sample + tile.number / (out_h * out_w) * in_h * in_w;
        float result = is_maximum ? __int_as_float(0xff800000) : 0.0f; /* minus infinity */
#pragma unroll /* so that all loads are on their way at once */
        for (int ky = 0; ky < kh; ky++)
#pragma unroll
            for (int kx = 0; kx < kw; kx++) {
                const int row = y + ky, column = x + kx;
                if (row < 0 || row >= in_h || column < 0 || column >= in_w) continue;
                const float value = plane[row * in_w + column];
                const bool is_larger = value > result || value != value; /* NaN stays */
                result = !is_maximum ? result + value : is_larger ? value : result;
            }
        if (tile.exists) out[tile.sample + tile.number] = is_maximum ? result : result / (float)(kh * kw);
    }
}

/* ---- Number by number ------------------------------------------------------------------------------------------- */

/* x_c / (k + alpha * sum of x ** 2 over the n channels around c) ** beta */
INLINE void local_response_normalization(const float *in, float *out, struct team team, int channels, int pixels, int n,
                                         float k, float alpha, float beta)
{
    const int tiles = channels * pixels;
    for (int first = first_tile(team, 1); first < team.n_left * tiles; first += tiles_at_once(team, 1)) {
        const struct tile tile = tile_of(team, first, tiles, 1);
        const int c = tile.number / pixels;
        const float *pixel = in + tile.sample + tile.number % pixels;
        float sum = 0;
#pragma unroll
        for (int d = 0; d < n / 2 * 2 + 1; d++) {
            const int neighbour = c + d - n / 2;
            if (neighbour < 0 || neighbour >= channels) continue;
            sum += pixel[neighbour * pixels] * pixel[neighbour * pixels];
        }
        const float base = k + alpha * sum;
        /* Two square roots are faster than a power, and as exact. */
        const float power = beta == 0.75f ? sqrtf(base) * sqrtf(sqrtf(base)) : powf(base, beta);
        if (tile.exists) out[tile.sample + tile.number] = pixel[c * pixels] / power;
    }
}

/* x * factors[c] + factors[channels + c], or x itself without factors. */
INLINE void scale(const float *in, const float *factors, float *out, struct team team, int channels, int pixels,
                  int relu)
{
    const int tiles = channels * pixels;
    for (int first = first_tile(team, 1); first < team.n_left * tiles; first += tiles_at_once(team, 1)) {
        const struct tile tile = tile_of(team, first, tiles, 1);
        const int c = tile.number / pixels;
        float value = in[tile.sample + tile.number];
        if (factors) value = value * factors[c] + factors[channels + c];
        if (tile.exists) out[tile.sample + tile.number] = rectified(value, relu);
    }
}

/* ---- Samples in, answers out ------------------------------------------------------------------------------------ */

/* What host and GPU tell each other: the number of the request, that of the one last answered, whether a sample was too
 * large or not finite, or logits were not, and the number, from 1, of an exit where a score was NaN. */
enum { REQUEST, ANSWERED, BAD_SAMPLE, BAD_LOGITS, BAD_SCORE };

INLINE void take_number(SAMPLE number, int i, float *to, volatile int *messages)
{
    to[i] = number_of(number, i);
    if (!(fabsf(to[i]) <= LARGEST)) messages[BAD_SAMPLE] = 1;
}

/* Brings a sample to where the network reads it. */
INLINE void take_sample(const SAMPLE *sample, float *to, int n, struct team team, volatile int *messages)
{
    for (int i = team.rank; i < n; i += team.size) take_number(sample[i], i, to, messages);
}

/* Looks at logits that a decision is to rest on; one thread does. 0 times a number is 0 only if that is finite. */
INLINE void check_logits(const float *logits, int classes, volatile int *messages)
{
    float sum = 0;
    for (int c = 0; c < classes; c++) sum += 0.0f * logits[c];
    if (sum != 0) messages[BAD_LOGITS] = 1;
}

/* Looks at a score. That of a plain network is NaN: nothing rests on it. */
INLINE void check_score(float score, int exit, volatile int *messages)
{
    if (HAS_SCORES && score != score) messages[BAD_SCORE] = exit + 1;
}

INLINE int largest(const float *logits, int n); /* in scores.h */

/* An answer is a row: label, exit, the score's bits, then those of the logits. */
INLINE void write_answer(int *row, int exit, float score, const float *logits, int classes, int rank, int size)
{
    for (int i = rank; i < 3 + classes; i += size)
        row[i] = i == 0   ? largest(logits, classes)
                 : i == 1 ? exit
                 : i == 2 ? __float_as_int(score)
                          : __float_as_int(logits[i - 3]);
}
