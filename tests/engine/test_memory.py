"""Freed memory is kept while training, and handed back afterwards."""

import subprocess
import sys

import pytest

from kdgap.engine.memory import _glibc

MIB = 2**20
COUNT = """
import resource
import torch
from kdgap.engine.memory import kept_memory

def touched():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(16 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(open("/proc/self/status").read().partition("VmRSS:")[2].split()[0])

touched()
outside = touched()
with kept_memory():
    touched()
    inside, held = touched(), resident()
print(outside, inside, held - resident())
"""


@pytest.mark.skipif(_glibc() is None, reason="only glibc can be asked to keep memory")
def test_pages_are_mapped_once_within_and_handed_back_at_the_end() -> None:
    done = subprocess.run([sys.executable, "-c", COUNT], check=True, capture_output=True, text=True)
    outside, inside, handed_back = map(int, done.stdout.split())
    # 20 tensors of 64 MiB: pages of 4 KiB, fewer where pages are larger.
    assert inside < outside / 50
    assert handed_back * 1024 > 32 * MIB
