"""One gate for what comes in: numbers, shapes, labels. What passes is of one kind behind it; what does not is an error
of the caller's own class, "expected ..., got ...".
"""

from __future__ import annotations

import math
import numbers
import pathlib

import numpy as np

# Numbers of one sample: more than any picture has, and little enough to be allocated.
_MOST_NUMBERS = 1 << 28


def whole_number(name, value, error, lowest=1, highest=math.inf) -> int:
    """A whole number as Python's own; an `error` unless it is one, from `lowest` to `highest`. A bool is none."""
    is_whole = isinstance(value, numbers.Integral) and not isinstance(value, (bool, np.bool_))
    if not is_whole or not lowest <= value <= highest:
        upper = f" and <= {highest}" if highest < math.inf else ""
        raise error(f"{name}: expected a whole number >= {lowest}{upper}, got {shown(value)}")
    return int(value)


def is_real(value) -> bool:
    """Whether it is one real number that a float can hold: of Python, of NumPy, or an array without axes; no bool."""
    if hasattr(value, "dtype"):
        is_number = getattr(value, "ndim", None) == 0 and getattr(value.dtype, "kind", "") in tuple("iuf")
        is_number = is_number and not isinstance(value, np.ma.MaskedArray)
    else:
        is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number:
        return False
    try:
        float(value)
    except (OverflowError, TypeError):  # a whole number without end; an array of a framework that is none
        return False
    return True


def floats(values) -> tuple | None:
    """A list, a tuple or a 1-D array of real numbers, as of `is_real`, as a tuple of floats; None if it is none."""
    is_array = getattr(values, "ndim", 0) == 1 and not isinstance(values, np.ma.MaskedArray)
    if not (is_array or isinstance(values, (list, tuple))) or not all(map(is_real, values)):
        return None
    return tuple(map(float, values))


def is_shape(value) -> bool:
    """Whether it is the shape of a sample: a list or tuple of whole numbers >= 1, of which there are not too many."""
    if not isinstance(value, (list, tuple)) or not value:
        return False
    if not all(isinstance(n, numbers.Integral) and not isinstance(n, bool) and n >= 1 for n in value):
        return False
    return math.prod(map(int, value)) <= _MOST_NUMBERS


def path(value, error, expected="a path") -> pathlib.Path:
    """A text, or an object of a path, as a path; an `error` where it names none."""
    try:
        found = pathlib.Path(value)
    except TypeError as cause:
        raise error(f"expected {expected}, got {shown(value)}") from cause
    if not str(value) or "\0" in str(found):
        raise error(f"expected {expected}, got {shown(value)}")
    return found


def transformed(transform, images, error) -> np.ndarray:
    """What a transform makes of images (N, C, H, W) uint8: samples (N, ...) float32; an `error` if it makes others."""
    if not callable(transform):
        raise error(f"transform: expected a function of images, got {shown(transform)}")
    x = transform(images)
    if getattr(x, "dtype", None) != np.float32 or getattr(x, "ndim", 0) < 2 or len(x) != len(images):
        found = f"{x.dtype} of shape {x.shape}" if hasattr(x, "dtype") else shown(x)
        raise error(f"transform: expected float32 (N, ...) of N images, got {found}")
    return x


def check_logits(logits, error) -> None:
    """Raises an `error` unless they are, for each exit, finite logits (N, n_classes) of one shape: a list, a tuple or
    an array of floats, NumPy or CuPy; N may be 0."""
    is_list = isinstance(logits, (list, tuple)) or getattr(logits, "ndim", 0) == 3
    found = [_shape_of_floats(exit_logits) for exit_logits in logits] if is_list else logits
    is_one = is_list and len(set(found)) == 1 and isinstance(found[0], tuple)
    if not is_one or len(found[0]) != 2 or found[0][1] == 0:
        raise error(f"expected logits (N, n_classes) of one shape for every exit, got {shown(found)}")
    if not all(np.isfinite(exit_logits).all() for exit_logits in logits):
        raise error("expected finite logits, got NaN or infinity")


def _shape_of_floats(array):
    """Shape; for what is no plain array of floats, which has none, words."""
    is_array = isinstance(array, np.ndarray) or hasattr(array, "__cuda_array_interface__")
    if not is_array or isinstance(array, np.ma.MaskedArray) or array.dtype.kind != "f":
        return str(getattr(array, "dtype", type(array).__name__))
    return array.shape


def class_names(values, n, error) -> list:
    """A list, a tuple or a 1-D array of n texts, as a list; any number of them where n is None; else an `error`."""
    is_list = isinstance(values, (list, tuple)) or getattr(values, "ndim", 0) == 1
    if not is_list or n not in (None, len(values)) or not all(isinstance(text, str) for text in values):
        raise error(f"class names: expected {'some' if n is None else n} texts, got {shown(values)}")
    return list(values)


def labels(values, n_samples, n_classes, error) -> np.ndarray:
    """Labels on the host, (n_samples,) int32.

    Args:
        values: a sequence or an array of integers, one for each sample.
        n_samples: N.
        n_classes: labels are from 0 to n_classes - 1.
        error: class of the error.

    Raises:
        `error`: they are of another number, shape or kind, masked, or no class of the network.
    """
    expected = f"labels: expected {n_samples} integers from 0 to {n_classes - 1}"
    if isinstance(values, np.ma.MaskedArray):
        raise error(f"{expected}, got a masked array")
    try:
        found = np.asarray(values.get() if hasattr(values, "get") and hasattr(values, "dtype") else values)
    except (TypeError, ValueError) as cause:
        raise error(f"{expected}, got {shown(values)}") from cause
    if found.shape != (n_samples,) or (found.dtype.kind not in "iu" and found.size > 0):
        raise error(f"{expected}, got {found.dtype} of shape {found.shape}")
    if found.size > 0 and not 0 <= found.min() <= found.max() < n_classes:
        raise error(f"{expected}, got {found.min()} to {found.max()}")
    return found.astype(np.int32)


def shown(value, most=200) -> str:
    """A value for a message: never longer than a reader wants it, never an error of its own."""
    try:
        text = repr(value)
    except Exception:  # an object's own repr may do anything; a whole number may have too many digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= most else f"{text[:most]}..."
