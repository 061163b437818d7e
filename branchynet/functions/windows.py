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
