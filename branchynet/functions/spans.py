"""Which part of an image the windows of a pooling read, offset by offset."""

from __future__ import annotations


def window_spans(size, n_out, ksize, stride, pad) -> list:
    """For each offset within a window: the outputs whose windows have it inside the image, and what they read there.

    Args:
        size: of the input along one axis.
        n_out: of the output along that axis.
        ksize, stride, pad: of the windows along that axis.

    Returns:
        list of pairs of slices (outputs, inputs), in the order of the offsets.
    """
    spans = []
    for offset in range(ksize):
        first = max(0, -(-(pad - offset) // stride))
        last = min(n_out - 1, (size - 1 + pad - offset) // stride)
        if first <= last:
            begin = first * stride + offset - pad
            spans.append((slice(first, last + 1), slice(begin, begin + (last - first) * stride + 1, stride)))
    return spans
