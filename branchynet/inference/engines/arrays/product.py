"""Matrix products in a CUDA graph.

CuPy refuses cuBLAS while a graph is captured. For one sample the products are small, and the launches are what takes
the time; so they are a kernel of their own.
"""

import functools

import numpy as np


@functools.cache
def _product_kernel(xp):
    return xp.ReductionKernel(
        "float32 left, float32 right", "float32 y", "left * right", "a + b", "y = a", "0", "branchynet_matrix_product"
    )


def matrix_product(xp, left, right, out):
    """``left @ right`` without cuBLAS.

    Args:
        xp: CuPy.
        left: (M, K) float32.
        right: (..., K, N) float32.
        out: (..., M, N) float32.
    """
    _product_kernel(xp)(left[:, :, np.newaxis], right[..., np.newaxis, :, :], out, axis=-2)
