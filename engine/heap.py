"""Memory that was freed stays with a process that trains, to be used again in the next step."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # parameters of mallopt, in glibc's malloc.h


def keep_freed() -> None:
    """Have the C library give no memory back to the system until the process ends; a person's own word on it counts.

    A step allocates the same activations again and again. glibc maps large ones anew each time, and the system then
    clears every page: on a CPU a ninth of a step of ResNet-20, a quarter of one of Conv-3. Other C libraries have no
    such call, and stay as they are.
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return
    with suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(TRIM_THRESHOLD, -1)
        mallopt(MMAP_MAX, 0)
