"""What glibc does with freed memory, where that decides how much a process takes. Elsewhere nothing is done."""

import ctypes
import sys

# malloc.h
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_LARGE = 1 << 20


def return_large_blocks() -> bool:
    """Have freed blocks of a megabyte and more go back to the system at once, for the rest of this process.

    glibc raises that bound by itself, to 32 MB, each time such a block is freed; what lies under it stays in the heap,
    where the small things allocated since keep it from being used again. Recomputing a 110 M Llama's layers took 0.9 GB
    more so (bench/plan.py). Returns whether the C library does so.
    """
    return _set(_M_MMAP_THRESHOLD, _LARGE)


def share_one_arena() -> bool:
    """Let all threads of this process that begin from now on allocate from one heap.

    glibc gives threads heaps of their own, up to eight a core, and what one has freed another cannot use: in ten
    minutes of mixed load the server grew by 38 MB so, and by 22 with one heap (bench/soak.py). Python's threads run one
    at a time: they do not wait for each other there. Returns whether the C library does so.
    """
    return _set(_M_ARENA_MAX, 1)


def _set(option: int, value: int) -> bool:
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and bool(mallopt(option, value))
