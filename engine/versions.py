"""What made a figure, besides the plan: code, libraries, processor and data, as `attempts.versions` keeps them."""

from __future__ import annotations

import functools
import hashlib
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

import torch

from engine.data import Dataset
from presets import __version__

SUBSET = "subset "
"""Before the name of a search: the file of samples, of another run, that it sees."""


def versions(data: Dataset, subsets: Mapping[str, str]) -> dict[str, str]:
    """What the figures may depend on, besides the plan. `subsets`: by search, the hash of the file of samples that it
    sees; a run that goes on sees the same, whatever their run has chosen since."""
    return {f"{SUBSET}{name}": sha256 for name, sha256 in subsets.items()} | {
        "data": data.identity,
        "tombola": __version__,
        "code": code(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "processor": f"{torch.backends.cpu.get_cpu_capability()} {_processor()}".strip(),
        "executable": sys.executable,
    }


@functools.cache
def code() -> str:
    """Digest of the engine's sources: between two versions, too, a change may move bits."""
    content = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        content.update(path.read_bytes())
    return content.hexdigest()[:16]


@functools.cache
def _processor() -> str:
    """Which processor this is: its libraries choose their kernels by that. Empty where the system does not say."""
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return platform.processor()
    told = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first.splitlines())}
    return " ".join(told[name] for name in ("model name", "cpu family", "model", "stepping") if name in told)
