"""Where the windows of a convolution or a pooling lie."""

import ctypes


class Windows(ctypes.Structure):
    """`struct windows` of kernels.c: sizes of images, kernel, stride, padding and output."""

    _fields_ = [
        (name, ctypes.c_int32)
        for name in ("channels", "height", "width", "kh", "kw", "sy", "sx", "ph", "pw", "out_h", "out_w")
    ]


def pair(value) -> tuple:
    """(vertical, horizontal), of a pair or of one number for both."""
    return tuple(value) if hasattr(value, "__getitem__") else (value, value)


def may_miss(ksize, stride=None, pad=0, cover_all=True, *_, **__) -> bool:
    """Whether windows of these settings can hold nothing but padding, of whatever image; those of `max_pooling_2d`.

    The maximum of such a window is -inf, and ReLU of it 0: before that pooling and behind it are not the same.
    """
    axes = zip(*map(pair, (ksize, ksize if stride is None else stride, pad)))
    return any(around + bool(cover_all) * (step - 1) >= width for width, step, around in axes)
