"""A process that trains gets the memory it freed back without asking the system for it."""

import os
import subprocess
import sys

import pytest

PROBE = """
import resource
import torch
from engine.heap import keep_freed
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


def faults(keep: bool, **environment: str) -> int:
    """Pages that the system had to hand out anew for five steps of eight tensors of 16 MB."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", PROBE.format(keep=keep)]
    return int(subprocess.run(command, env=own | environment, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is glibc's")
def test_freed_memory_is_used_again_without_new_pages():
    assert 4 * faults(keep=True) < faults(keep=False)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is glibc's")
def test_what_a_person_said_of_it_counts():
    limits = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    assert faults(keep=True, **limits) == pytest.approx(faults(keep=False, **limits), rel=0.2)
    assert faults(keep=True, **limits) > 2000
