"""Freed memory goes back to the system, in a C library that would otherwise keep it."""

import subprocess
import sys

import pytest

from radllama.training.heap import return_large_blocks

# Blocks of 4 MB between smaller ones that stay; what of them is still resident once they are freed, in MB.
_STAYS = """
import ctypes, sys
from pathlib import Path
from radllama.training.heap import return_large_blocks

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
if sys.argv[1] == "returned":
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


def stays(how: str) -> float:
    done = subprocess.run([sys.executable, "-c", _STAYS, how], capture_output=True, text=True, check=True)
    return float(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="another C library than glibc")
def test_large_blocks_go_back_when_they_are_freed() -> None:
    if not return_large_blocks():
        pytest.skip("the C library has no mallopt")
    assert stays("kept") > 100
    assert stays("returned") < 20
