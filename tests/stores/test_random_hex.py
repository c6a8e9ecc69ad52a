"""Random digits of ids: distinct over threads and over processes that were forked."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from stores.random_hex import random_hex

FORKS = """
import os
from stores.random_hex import random_hex
random_hex()  # some are read ahead
inward, outward = os.pipe()
if os.fork() == 0:
    os.write(outward, "\\n".join(random_hex() for _ in range(100)).encode())
    os._exit(0)
os.wait()
own = [random_hex() for _ in range(100)]
print(len({*own, *os.read(inward, 10_000).decode().split()}))
"""


def test_digits_are_distinct_over_threads():
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: random_hex(), range(5000)))
    assert len(set(found)) == 5000
    assert all(re.fullmatch("[0-9a-f]{16}", digits) for digits in found)


def test_a_forked_process_gives_other_digits():
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 200
