"""In a process of its own, since it is for good."""

import subprocess
import sys

import pytest

MEMORY = """
import ctypes, threading
from appliance.heap import bound

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]

def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

def work():
    for _ in range(20):
        # The small ones lie above the large ones, and stay.
        for size in (1_500_000, 400_000):
            large = [libc.malloc(size) for _ in range(3)]
            for block in large:
                ctypes.memset(block, 1, size)
            small.append(libc.malloc(2_000))
            for block in large:
                libc.free(block)

bound()
small = []
before = held()
for _ in range(4):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
print(held() - before)
"""


@pytest.mark.slow
def test_what_was_large_is_given_back():
    told = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, timeout=30, check=True
    )
    assert int(told.stdout) < 1_500_000
