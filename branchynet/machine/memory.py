"""What becomes of the memory that a process frees."""

import ctypes
import platform

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> None:
    """Has this process keep the memory that it frees, from now on, where the C library is glibc.

    Every step of a training allocates the same arrays. By default the large ones go back to the system each time, and
    the system has to clear their pages again. The settings are those of `mallopt`, for the whole process.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, _LARGEST_INT)
