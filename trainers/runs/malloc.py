"""What the C library does with freed memory."""

import ctypes
import sys

# Numbers of glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_KEPT = 1 << 30  # bytes


def keep_freed() -> None:
    """Keeps freed memory for what is allocated next, where the C library is glibc; elsewhere nothing changes.

    By default glibc returns large blocks to the system at once, and the system clears their pages anew for the next:
    tensors of some megabytes, as a small model makes and frees at every step, are then mostly waited for. Of twice two
    evaluations of the embedded model in turn, those with memory kept took 22.5 and 20.8 s, the others 25.7 and 23.8.
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        for option, value in ((_TRIM_THRESHOLD, _KEPT), (_MMAP_THRESHOLD, _KEPT), (_TOP_PAD, 64 << 20)):
            mallopt(option, value)
