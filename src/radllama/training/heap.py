"""What the C library does with freed memory, where that decides how much a training takes."""

import ctypes
import sys

_M_MMAP_THRESHOLD = -3  # malloc.h
_LARGE = 1 << 20


def return_large_blocks() -> bool:
    """Have freed blocks of a megabyte and more go back to the system at once, for the rest of this process.

    glibc raises that bound by itself, to 32 MB, each time such a block is freed; what lies under it stays in the heap,
    where the small things allocated since keep it from being used again. Recomputing a 110 M Llama's layers took 0.9 GB
    more so (bench/plan.py). Does nothing, and says False, where the C library is another.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and bool(mallopt(_M_MMAP_THRESHOLD, _LARGE))
