"""A process that trains gets the memory it freed back without asking the system for it."""

import os
import subprocess
import sys

import pytest

PROBE = """
import ctypes
import resource
import torch
from engine.heap import keep_freed
if {eager}:  # give back all at once: what glibc does by itself depends on how its heap happens to lie
    for parameter in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
        ctypes.CDLL(None).mallopt(parameter, 65536)
if {keep}:
    keep_freed()
torch.set_num_threads(1)
def step():
    activations = [torch.empty(4_000_000).fill_(1.0) for _ in range(8)]
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep: bool, eager: bool = False, **environment: str) -> int:
    """Pages that the system had to hand out anew for five steps of eight tensors of 16 MB."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", PROBE.format(keep=keep, eager=eager)]
    return int(subprocess.run(command, env=own | environment, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is glibc's")
def test_freed_memory_is_used_again_without_new_pages():
    given_back = faults(keep=False, eager=True)
    assert given_back > 100, "40 tensors, of 8 huge pages at least"
    assert faults(keep=True, eager=True) < 0.1 * given_back


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is glibc's")
def test_what_a_person_said_of_it_counts():
    limits = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    assert faults(keep=True, **limits) == pytest.approx(faults(keep=False, **limits), rel=0.2)
    assert faults(keep=True, **limits) > 100
