/* One sample, and many threads that have nothing else to do: what takes time is not arithmetic, but waiting for memory
 * and for each other. Behind kernels.cuh.
 *
 * All that a kernel needs from the host's memory it asks for at once, at its beginning; that takes a microsecond or
 * two. Meanwhile a block fetches the weights into its cache.
 */

#ifndef ARRIVE /* where no GPU runs this */
/* Adds one; who sees that by ARRIVALS sees what was written before, too. */
INLINE void ARRIVE(unsigned long long *count)
{
    asm volatile("red.release.gpu.global.add.u64 [%0], 1;" ::"l"(count) : "memory");
}

INLINE unsigned long long ARRIVALS(unsigned long long *count)
{
    unsigned long long n;
    asm volatile("ld.acquire.gpu.global.u64 %0, [%1];" : "=l"(n) : "l"(count) : "memory");
    return n;
}
#endif

/* Waits for all blocks of the grid, which must all be running. arrived: counts for ever; all: what it counts to before
 * this block goes on, of which one thread keeps account. */
INLINE void grid_barrier(unsigned long long *arrived, unsigned long long *all)
{
    __syncthreads();
    if (threadIdx.x == 0) {
        *all += gridDim.x;
        ARRIVE(arrived);
        while (ARRIVALS(arrived) < *all) __nanosleep(20);
    }
    __syncthreads();
}

/* What it has counted to when all blocks have ended the kernel before: some blocks of this one may have arrived. */
INLINE unsigned long long count_before(unsigned long long *arrived)
{
    return threadIdx.x == 0 ? *(volatile unsigned long long *)arrived / gridDim.x * gridDim.x : 0;
}

/* The host, which waits for the number of its request, may read what this block has written. */
INLINE void tell_host(volatile int *messages, int request)
{
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence_system();
        messages[ANSWERED] = request;
    }
}

/* Fetches weights into the cache of the multiprocessor. They come from far away, and a layer that waits for one after
 * another would wait for longer than it computes. */
INLINE void fetch(const float *weights, int n, struct team team)
{
    for (int i = 8 * team.rank; i < n; i += 8 * team.size) FETCH(weights + i);
}

/* Brings a sample, and the thresholds behind all numbers, to where the network reads them. */
INLINE void take_from_host(const SAMPLE *sample, const float *thresholds, float *to, float *thresholds_to,
                           const float *weights, int n_weights, struct team team, volatile int *messages)
{
    constexpr int FOURS = N_INPUTS / 4;
    const int rank = team.rank;
    SAMPLE4 four;
    float threshold = 0;
    if (rank < FOURS) four = ((const SAMPLE4 *)sample)[rank];
    if (rank < N_EXITS) threshold = thresholds[rank];
    fetch(weights, n_weights, team);
    if (rank < N_EXITS) thresholds_to[rank] = threshold;
    for (int i = rank; i < FOURS; i += team.size) {
        if (i != rank) four = ((const SAMPLE4 *)sample)[i];
        take_number(four.x, 4 * i, to, messages), take_number(four.y, 4 * i + 1, to, messages);
        take_number(four.z, 4 * i + 2, to, messages), take_number(four.w, 4 * i + 3, to, messages);
    }
    if (rank < N_INPUTS % 4) take_number(sample[4 * FOURS + rank], 4 * FOURS + rank, to, messages);
}

/* What the lanes of a pixel have added up, where LANES neighbouring lanes have a pixel each. */
template <int LANES> INLINE float sum_of_lanes(float value)
{
#pragma unroll
    for (int distance = LANES; distance < WARP; distance *= 2) value += __shfl_xor_sync(0xffffffffu, value, distance);
    return value;
}

/* A convolution, or a fully connected layer, whose tiles are shared by WARPS warps of a block.
 *
 * A tile is 4 * VECTORS outputs of a group at PIXELS times LANES neighbouring pixels, each of which has 32 / LANES
 * lanes of every warp. So the lanes of a warp read the same weights, or neighbouring ones. Each takes some lines of the
 * input; what they add up to meets in the team's `partial`.
 */
template <int GROUP, int VECTORS, int PIXELS, int LANES, int WARPS, int KH, int KW>
INLINE void shared_convolution(const float *in, struct shortcut shortcut, const float *weights, float *out,
                               struct team team, int channels, int in_h, int in_w, int stride_y, int stride_x,
                               int pad_y, int pad_x, int n_outputs, int out_h, int out_w, int relu)
{
    constexpr int STEP = (GROUP + 3) / 4 * 4, OUTPUTS = 4 * VECTORS < GROUP ? 4 * VECTORS : GROUP;
    constexpr int PARTS = WARPS * (WARP / LANES), SLICES = STEP / 4 / VECTORS, PLACES = PIXELS * LANES;
    /* As many as there are registers for, so that all their loads are on their way at once. */
    constexpr int LOADS = KW * (4 * VECTORS + PIXELS), LINES_AT_ONCE = LOADS < 48 ? 48 / LOADS : 1;
    const int warp = team.rank / WARP, lane = team.rank % WARP, lines = channels * KH, pixels = out_h * out_w;
    const int part = warp % WARPS * (WARP / LANES) + lane / LANES;
    const int tiles_of_slice = (pixels + PLACES - 1) / PLACES;
    const int tiles = (n_outputs + GROUP - 1) / GROUP * SLICES * tiles_of_slice;
    for (int first = 0; first < tiles; first += team.size / WARP / WARPS) {
        const int tile = first + warp / WARPS, slice = tile / tiles_of_slice;
        const int first_output = slice % SLICES * OUTPUTS, group = slice / SLICES;
        const float *packed = weights + group * STEP * (1 + lines * KW) + first_output;
        const int first_pixel = tile % tiles_of_slice * PLACES;
        float sums[OUTPUTS][PIXELS] = {};
        if (tile < tiles) {
            int top[PIXELS], left[PIXELS];
#pragma unroll
            for (int p = 0; p < PIXELS; p++) {
                const int pixel = smaller(first_pixel + p * LANES + lane % LANES, pixels - 1);
                top[p] = pixel / out_w * stride_y - pad_y, left[p] = pixel % out_w * stride_x - pad_x;
            }
#pragma unroll LINES_AT_ONCE
            for (int trip = 0; trip < (lines + PARTS - 1) / PARTS; trip++) {
                const int line = smaller(trip * PARTS + part, lines - 1);
                const float *plane = in + line / KH * in_h * in_w;
#pragma unroll
                for (int kx = 0; kx < KW; kx++) {
                    float w[STEP];
                    load_group<OUTPUTS>(w, packed + STEP * (1 + line * KW + kx));
#pragma unroll
                    for (int p = 0; p < PIXELS; p++) {
                        const int row = top[p] + line % KH, column = left[p] + kx;
                        const bool is_inside = row >= 0 && row < in_h && column >= 0 && column < in_w;
                        const bool is_there = is_inside && trip * PARTS + part < lines;
                        const float value = is_there ? plane[row * in_w + column] : 0.0f;
#pragma unroll
                        for (int o = 0; o < OUTPUTS; o++) sums[o][p] += w[o] * value;
                    }
                }
            }
        }
#pragma unroll
        for (int o = 0; o < OUTPUTS; o++)
#pragma unroll
            for (int p = 0; p < PIXELS; p++) sums[o][p] = sum_of_lanes<LANES>(sums[o][p]);
        const auto write = [&](int o, int place, float sum) {
            const int output = first_output + o, channel = group * GROUP + output;
            const int pixel = first_pixel + place;
            if (tile >= tiles || output >= GROUP || channel >= n_outputs || pixel >= pixels) return;
            sum = with_shortcut(sum + packed[o], shortcut, 0, channel, pixel / out_w, pixel % out_w);
            out[channel * pixels + pixel] = rectified(sum, relu);
        };
        if (WARPS == 1) {
#pragma unroll
            for (int o = 0; o < OUTPUTS; o++)
#pragma unroll
                for (int p = 0; p < PIXELS; p++)
                    if (lane < LANES) write(o, p * LANES + lane, sums[o][p]);
            continue;
        }
        float *const partial = team.partial + threadIdx.x / WARP / WARPS * WARPS * OUTPUTS * PLACES;
        if (first) __syncthreads(); /* all have read the sums of the tile before */
#pragma unroll
        for (int o = 0; o < OUTPUTS; o++)
#pragma unroll
            for (int p = 0; p < PIXELS; p++)
                if (lane < LANES) partial[((warp % WARPS * OUTPUTS + o) * PIXELS + p) * LANES + lane] = sums[o][p];
        __syncthreads();
        for (int i = team.rank % (WARPS * WARP); i < OUTPUTS * PLACES; i += WARPS * WARP) {
            float sum = 0;
            for (int w = 0; w < WARPS; w++) sum += partial[w * OUTPUTS * PLACES + i];
            write(i / PLACES, i % PLACES, sum);
        }
    }
}
