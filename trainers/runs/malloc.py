"""Tells the C library to reuse freed memory."""

import ctypes
import sys

# Constants of glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_LARGEST = 1 << 30  # bytes


def keep_freed() -> None:
    """Makes glibc keep freed memory of up to 1 GiB for later allocations; with another C library it does nothing.

    By default glibc returns large blocks to the system at once, and the system clears the pages of every new block. A
    small model allocates and frees tensors of a few megabytes at every step, and would wait for this most of the time
    (docs/results.md, "Speed").
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        for option, value in ((_TRIM_THRESHOLD, _LARGEST), (_MMAP_THRESHOLD, _LARGEST), (_TOP_PAD, 64 << 20)):
            mallopt(option, value)
