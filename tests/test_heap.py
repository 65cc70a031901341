"""Freed memory goes back, or is used again, in a C library that would otherwise keep it."""

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")

# Blocks of 4 MB between smaller ones that stay; what of them is still resident once they are freed, in MB.
_LARGE_BLOCKS = """
import ctypes, sys
from pathlib import Path
from radllama.heap import return_large_blocks

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
if sys.argv[1] == "set":
    assert return_large_blocks()
libc.free(libc.malloc(16 << 20))  # raises glibc's own bound
before, large = resident(), []
for _ in range(40):
    large.append(libc.malloc(4 << 20))
    ctypes.memset(large[-1], 1, 4 << 20)
    libc.malloc(100_000)
assert resident() - before > 150
for block in large:
    libc.free(block)
print(resident() - before)
"""

# How many heaps eight threads have that allocate at the same time.
_ARENAS = """
import ctypes, sys, threading
from radllama.heap import share_one_arena

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.open_memstream.restype = ctypes.c_void_p
libc.malloc_info.argtypes, libc.fclose.argtypes = [ctypes.c_int, ctypes.c_void_p], [ctypes.c_void_p]
if sys.argv[1] == "set":
    assert share_one_arena()
together = threading.Barrier(8)

def allocate():
    together.wait()
    libc.malloc(1000)
    together.wait()

threads = [threading.Thread(target=allocate) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
text, size = ctypes.c_char_p(), ctypes.c_size_t()
stream = libc.open_memstream(ctypes.byref(text), ctypes.byref(size))
libc.malloc_info(0, stream)
libc.fclose(stream)
print(text.value.count(b"<heap nr="))
"""


def measure(program: str, how: str) -> float:
    done = subprocess.run([sys.executable, "-c", program, how], capture_output=True, text=True, check=True)
    return float(done.stdout)


def test_large_blocks_go_back_when_they_are_freed() -> None:
    assert measure(_LARGE_BLOCKS, "unset") > 100
    assert measure(_LARGE_BLOCKS, "set") < 20


def test_threads_share_one_arena() -> None:
    assert measure(_ARENAS, "unset") > 1
    assert measure(_ARENAS, "set") == 1
