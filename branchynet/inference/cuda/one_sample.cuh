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

/* Brings a sample, and the thresholds behind all numbers, to where the network reads them: from the host's memory, or a
 * sample of a batch from the GPU's. */
INLINE void take_lone_sample(const SAMPLE *sample, const float *thresholds, float *to, float *thresholds_to,
                             const float *weights, int n_weights, struct team team, volatile int *messages)
{
    /* A sample among others need not begin where four numbers can be read at once. */
    const int rank = team.rank, fours = (unsigned long long)sample % sizeof(SAMPLE4) ? 0 : N_INPUTS / 4;
    SAMPLE4 four;
    float threshold = 0;
    if (rank < fours) four = ((const SAMPLE4 *)sample)[rank];
    if (rank < N_EXITS) threshold = thresholds[rank];
    fetch(weights, n_weights, team);
    if (rank < N_EXITS) thresholds_to[rank] = threshold;
    for (int i = rank; i < fours; i += team.size) {
        if (i != rank) four = ((const SAMPLE4 *)sample)[i];
        take_number(four.x, 4 * i, to, messages), take_number(four.y, 4 * i + 1, to, messages);
        take_number(four.z, 4 * i + 2, to, messages), take_number(four.w, 4 * i + 3, to, messages);
    }
    for (int i = 4 * fours + rank; i < N_INPUTS; i += team.size) take_number(sample[i], i, to, messages);
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
 * A tile is 4 * VECTORS outputs of a group at LANES places. A place is PIXELS neighbouring pixels of a row, and has
 * 32 / LANES lanes of every warp. So the lanes of a warp read the same weights, or neighbouring ones. Each takes some
 * lines of the input; what they add up to meets in the team's `partial`, and the first warp brings it to its end.
 */
template <int GROUP, int VECTORS, int PIXELS, int LANES, int WARPS, int KH, int KW, int STRIDE_X>
INLINE void shared_convolution(const float *in, struct shortcut shortcut, const float *weights, float *out,
                               struct team team, int channels, int in_h, int in_w, int stride_y, int pad_y, int pad_x,
                               int n_outputs, int out_h, int out_w, int relu)
{
    constexpr int STEP = (GROUP + 3) / 4 * 4, OUTPUTS = 4 * VECTORS < GROUP ? 4 * VECTORS : GROUP;
    constexpr int PARTS = WARPS * (WARP / LANES), SLICES = STEP / 4 / VECTORS, SUMS = OUTPUTS * PIXELS;
    /* As many as there are registers for, so that all their loads are on their way at once. */
    constexpr int LOADS = KW * 4 * VECTORS + PIXELS * STRIDE_X, LINES_AT_ONCE = LOADS < 48 ? 48 / LOADS : 1;
    const int warp = team.rank / WARP, lane = team.rank % WARP, lines = channels * KH;
    const int part = warp % WARPS * (WARP / LANES) + lane / LANES;
    const int places_x = (out_w + PIXELS - 1) / PIXELS, places = out_h * places_x;
    const int tiles_of_slice = (places + LANES - 1) / LANES;
    const int tiles = (n_outputs + GROUP - 1) / GROUP * SLICES * tiles_of_slice;
    for (int first = 0; first < tiles; first += team.size / WARP / WARPS) {
        const int tile = first + warp / WARPS, slice = tile / tiles_of_slice, group = slice / SLICES;
        const int first_output = slice % SLICES * OUTPUTS, place = tile % tiles_of_slice * LANES + lane % LANES;
        const int y = smaller(place / places_x, out_h - 1), x = place % places_x * PIXELS;
        const float *packed = weights + group * STEP * (1 + lines * KW) + first_output;
        float sums[OUTPUTS][PIXELS] = {};
#pragma unroll LINES_AT_ONCE
        for (int trip = 0; trip < (lines + PARTS - 1) / PARTS; trip++) {
            if (tile >= tiles) break;
            const int line = smaller(trip * PARTS + part, lines - 1), row = y * stride_y - pad_y + line % KH;
            const bool is_there = trip * PARTS + part < lines && row >= 0 && row < in_h;
            add_line<OUTPUTS, PIXELS, STEP, KW, STRIDE_X>(sums, in + (line / KH * in_h + row) * in_w,
                                                          x * STRIDE_X - pad_x, in_w, is_there,
                                                          packed + STEP * (1 + line * KW));
        }
        float *const partial = team.partial + threadIdx.x / WARP / WARPS * (WARPS - 1) * SUMS * LANES + lane;
        if (WARPS > 1 && first) __syncthreads(); /* the sums of the tile before have been read */
#pragma unroll
        for (int i = 0; i < SUMS; i++) {
            float *sum = &sums[i / PIXELS][i % PIXELS];
            *sum = sum_of_lanes<LANES>(*sum);
            if (warp % WARPS && lane < LANES) partial[((warp % WARPS - 1) * SUMS + i) * LANES] = *sum;
        }
        if (WARPS > 1) __syncthreads();
        if (tile >= tiles || warp % WARPS || lane >= LANES || place >= places) continue;
#pragma unroll
        for (int i = 0; i < SUMS; i++) {
            const int output = first_output + i / PIXELS, channel = group * GROUP + output, column = x + i % PIXELS;
            float sum = sums[i / PIXELS][i % PIXELS] + packed[i / PIXELS];
#pragma unroll
            for (int other = 0; other < WARPS - 1; other++) sum += partial[(other * SUMS + i) * LANES];
            if (output < GROUP && channel < n_outputs && column < out_w)
                out[(channel * out_h + y) * out_w + column] =
                    rectified(with_shortcut(sum, shortcut, 0, channel, y, column), relu);
        }
    }
}
