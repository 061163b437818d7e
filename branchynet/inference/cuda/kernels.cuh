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
#endif

INLINE int smaller(int a, int b) { return a < b ? a : b; }
INLINE int larger(int a, int b) { return a > b ? a : b; }

/* ---- Who computes ------------------------------------------------------------------------------------------------- */

/* The threads that compute a stage, and for whom.
 *
 * rank, size: of this thread, of all. left: the samples that are still on their way, n_left of them, whose numbers lie
 * `distance` floats apart; 0 where the stage is of one sample. */
struct team {
    int rank, size;
    const int *left;
    int n_left;
    long long distance;
};

INLINE struct team block_team(void)
{
    const struct team team = {(int)threadIdx.x, (int)blockDim.x, 0, 1, 0};
    return team;
}

INLINE struct team grid_team(void)
{
    const struct team team = {(int)(blockIdx.x * blockDim.x + threadIdx.x), (int)(gridDim.x * blockDim.x), 0, 1, 0};
    return team;
}

/* The whole grid, for the samples that an exit has left over. lists: for each exit how many come to it, then for each
 * exit room for `most` of them. */
INLINE struct team team_for_left(const int *lists, int exits, int exit, int most, long long distance)
{
    struct team team = grid_team();
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

/* Waits for all threads of the grid, all blocks of which must be running. arrived: counts for ever. */
INLINE void grid_barrier(unsigned long long *arrived)
{
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();
        const unsigned long long mine = atomicAdd(arrived, 1ULL), all = (mine / gridDim.x + 1) * gridDim.x;
        while (*(volatile unsigned long long *)arrived < all) __nanosleep(20);
        __threadfence();
    }
    __syncthreads();
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

template <int PARTS> INLINE float sum_of_parts(float value)
{
#pragma unroll
    for (int distance = PARTS / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(0xffffffffu, value, distance);
    return value;
}

/* A fully connected layer is a convolution of an image of one pixel. */
template <int GROUP, int PIXELS, int PARTS, int KH, int KW, int STRIDE_X>
INLINE void convolution(const float *in, const float *weights, float *out, struct team team, int channels, int in_h,
                        int in_w, int stride_y, int pad_y, int pad_x, int n_outputs, int out_h, int out_w, int relu)
{
    constexpr int STEP = (GROUP + 3) / 4 * 4, SPAN = (PIXELS - 1) * STRIDE_X + KW;
    const int tiles_x = (out_w + PIXELS - 1) / PIXELS, groups = (n_outputs + GROUP - 1) / GROUP;
    const int tiles = groups * out_h * tiles_x;
    for (int first = first_tile(team, PARTS); first < team.n_left * tiles; first += tiles_at_once(team, PARTS)) {
        const struct tile tile = tile_of(team, first, tiles, PARTS);
        const int x = tile.number % tiles_x * PIXELS, y = tile.number / tiles_x % out_h;
        const int group = tile.number / (tiles_x * out_h);
        const float *image = in + tile.sample, *packed = weights + group * STEP * (1 + channels * KH * KW);
        float sums[STEP][PIXELS], w[STEP];
        load_group<GROUP>(w, packed);
#pragma unroll
        for (int o = 0; o < GROUP; o++)
#pragma unroll
            for (int p = 0; p < PIXELS; p++) sums[o][p] = tile.part == 0 ? w[o] : 0.0f;
        for (int line = tile.part; line < channels * KH; line += PARTS) {
            const int row = y * stride_y - pad_y + line % KH;
            if (row < 0 || row >= in_h) continue;
            float values[SPAN];
#pragma unroll
            for (int i = 0; i < SPAN; i++) {
                const int column = x * STRIDE_X - pad_x + i;
                values[i] = column >= 0 && column < in_w ? image[(line / KH * in_h + row) * in_w + column] : 0.0f;
            }
#pragma unroll
            for (int kx = 0; kx < KW; kx++) {
                load_group<GROUP>(w, packed + STEP * (1 + line * KW + kx));
#pragma unroll
                for (int o = 0; o < GROUP; o++)
#pragma unroll
                    for (int p = 0; p < PIXELS; p++) sums[o][p] += w[o] * values[p * STRIDE_X + kx];
            }
        }
#pragma unroll
        for (int o = 0; o < GROUP; o++)
#pragma unroll
            for (int p = 0; p < PIXELS; p++) {
                const float sum = sum_of_parts<PARTS>(sums[o][p]);
                const int channel = group * GROUP + o;
                if (tile.exists && tile.part == 0 && channel < n_outputs && x + p < out_w)
                    out[tile.sample + (channel * out_h + y) * out_w + x + p] = relu && sum < 0 ? 0.0f : sum;
            }
    }
}

/* ---- Pooling: a tile is one number -------------------------------------------------------------------------------- */

INLINE void pooling(const float *in, float *out, struct team team, int channels, int in_h, int in_w, int kh, int kw,
                    int stride_y, int stride_x, int pad_y, int pad_x, int out_h, int out_w, int is_maximum)
{
    const int tiles = channels * out_h * out_w;
    for (int first = first_tile(team, 1); first < team.n_left * tiles; first += tiles_at_once(team, 1)) {
        const struct tile tile = tile_of(team, first, tiles, 1);
        const int y = tile.number / out_w % out_h * stride_y - pad_y, x = tile.number % out_w * stride_x - pad_x;
        const float *plane = in + tile.sample + tile.number / (out_h * out_w) * in_h * in_w;
        float result = is_maximum ? __int_as_float(0xff800000) : 0.0f; /* minus infinity */
        for (int row = larger(y, 0); row < smaller(y + kh, in_h); row++)
            for (int column = larger(x, 0); column < smaller(x + kw, in_w); column++) {
                const float value = plane[row * in_w + column];
                result = !is_maximum ? result + value : value <= result ? result : value; /* NaN stays */
            }
        if (tile.exists) out[tile.sample + tile.number] = is_maximum ? result : result / (float)(kh * kw);
    }
}

/* ---- Number by number ---------------------------------------------------------------------------------------------- */

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
        for (int d = larger(c - n / 2, 0); d < smaller(c + n / 2 + 1, channels); d++)
            sum += pixel[d * pixels] * pixel[d * pixels];
        const float base = k + alpha * sum;
        /* Two square roots are faster than a power, and as exact. */
        const float power = beta == 0.75f ? sqrtf(base) * sqrtf(sqrtf(base)) : powf(base, beta);
        if (tile.exists) out[tile.sample + tile.number] = pixel[c * pixels] / power;
    }
}

/* x * factors[c] + factors[channels + c], or x itself without factors. */
INLINE void scale(const float *in, const float *factors, float *out, struct team team, int channels, int pixels, int relu)
{
    const int tiles = channels * pixels;
    for (int first = first_tile(team, 1); first < team.n_left * tiles; first += tiles_at_once(team, 1)) {
        const struct tile tile = tile_of(team, first, tiles, 1);
        const int c = tile.number / pixels;
        float value = in[tile.sample + tile.number];
        if (factors) value = value * factors[c] + factors[channels + c];
        if (tile.exists) out[tile.sample + tile.number] = relu && value < 0 ? 0.0f : value;
    }
}

/* sum += every stride-th pixel of in, in its first channels: the shortcut of a residual block. */
INLINE void add_shortcut(const float *in, float *sum, struct team team, int channels, int in_h, int in_w, int stride,
                         int all_channels, int h, int w, int relu)
{
    const int tiles = all_channels * h * w;
    for (int first = first_tile(team, 1); first < team.n_left * tiles; first += tiles_at_once(team, 1)) {
        const struct tile tile = tile_of(team, first, tiles, 1);
        const int c = tile.number / (h * w), y = tile.number / w % h, x = tile.number % w;
        const float *image = in + tile.sample;
        float value = sum[tile.sample + tile.number];
        if (c < channels) value += image[(c * in_h + y * stride) * in_w + x * stride];
        if (tile.exists) sum[tile.sample + tile.number] = relu && value < 0 ? 0.0f : value;
    }
}

/* ---- Samples in, answers out --------------------------------------------------------------------------------------- */

/* What host and GPU tell each other: the number of the request, that of the one last answered, and whether a sample was
 * too large or not finite, or logits were not. */
enum { REQUEST, ANSWERED, BAD_SAMPLE, BAD_LOGITS };

/* Brings a sample to where the network reads it. */
INLINE void take_sample(const SAMPLE *sample, float *to, int n, struct team team, volatile int *messages)
{
    for (int i = team.rank; i < n; i += team.size) {
        const float value = number_of(sample[i], i);
        if (!(fabsf(value) <= LARGEST)) messages[BAD_SAMPLE] = 1;
        to[i] = value;
    }
}

/* Looks at logits that a decision is to rest on; one thread does. 0 times a number is 0 only if that is finite. */
INLINE void check_logits(const float *logits, int classes, volatile int *messages)
{
    float sum = 0;
    for (int c = 0; c < classes; c++) sum += 0.0f * logits[c];
    if (sum != 0) messages[BAD_LOGITS] = 1;
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

/* The host, which waits for that, may read what this block has written. */
INLINE void tell_host(volatile int *messages)
{
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence_system();
        messages[ANSWERED] = messages[REQUEST];
    }
}
