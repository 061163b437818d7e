/* Convolution by tiles, interleaved: see `winograd.h`. A tile's numbers are multiplied by weights of their places and
 * summed up over the channels, which is a 1x1 convolution of a block of tiles.
 */

/* A block of tiles, from number `first` on, counted along the rows. numbers, sums: room for all places of the tiles, and
 * PLACE_GAP behind each, for all channels, and for all output channels. */
INLINE void convolve_tiles(const float *in, const float *weights, float *out, float *numbers, float *sums, int first,
                           int n_tiles, int n_vectors, int groups, int group, int channels, int side, int n, int in_row,
                           int in_pixel, int out_h, int out_w, int out_row, int out_pixel, int relu)
{
    const int across = (out_w + n - 1) / n, n_outputs = groups * group, depth = WHOLE_GROUPS(channels);
    const int number_place = n_tiles * depth + PLACE_GAP, sum_place = n_tiles * n_outputs + PLACE_GAP;
    for (int t = 0; t < n_tiles; t++) {
        const int y = (first + t) / across * n, x = (first + t) % across * n;
        transform_tile(in + y * in_row + x * in_pixel, numbers + t * depth, side, channels, in_row, in_pixel,
                       number_place);
    }
    const float *w = weights + n_outputs;
    for (int place = 0; place < side * side; place++)
        for (int g = 0; g < groups; g++, w += group * channels)
            for (int o = 0; o < group; o += n_vectors * WIDTH)
                convolve_pixels(numbers + place * number_place, ZEROS, w + o, sums + place * sum_place + g * group + o,
                                n_tiles, n_vectors, group, channels, 1, 1, 0, depth, 1, n_outputs, 0);
    for (int t = 0; t < n_tiles; t++) {
        const int y = (first + t) / across * n, x = (first + t) % across * n;
        transform_sums(sums + t * n_outputs, weights, out + y * out_row + x * out_pixel, side, n, n_outputs, sum_place,
                       out_h - y, out_w - x, out_row, out_pixel, relu);
    }
}

/* in: the first pixel that the first tile reads, padding included. weights: the biases, and behind them for each place
 * those of a 1x1 convolution, [group][c][channel of the group]. extra: room for a block of MOST tiles, or of all that
 * there are. */
INLINE void convolution_of_tiles(const float *in, const float *weights, float *out, float *extra, int groups, int group,
                                 int channels, int side, int n, int in_row, int in_pixel, int out_h, int out_w,
                                 int out_row, int out_pixel, int relu)
{
    const int n_vectors = VECTORS_OF(group), most = SUMS / n_vectors;
    const int n_tiles = ((out_h + n - 1) / n) * ((out_w + n - 1) / n);
    const int n_blocks = (n_tiles + most - 1) / most;
    const int small = n_tiles / n_blocks, n_large = n_tiles - n_blocks * small; /* blocks of almost one size */
    float *sums = extra + side * side * ((small + (n_large > 0)) * WHOLE_GROUPS(channels) + PLACE_GAP);
    for (int b = 0, first = 0; b < n_blocks; b++) {
        if (b < n_large)
            convolve_tiles(in, weights, out, extra, sums, first, small + 1, n_vectors, groups, group, channels, side,
                           n, in_row, in_pixel, out_h, out_w, out_row, out_pixel, relu);
        else
            convolve_tiles(in, weights, out, extra, sums, first, small, n_vectors, groups, group, channels, side, n,
                           in_row, in_pixel, out_h, out_w, out_row, out_pixel, relu);
        first += small + (b < n_large);
    }
}
