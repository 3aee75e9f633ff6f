"""Every random draw, from a key that says what it is for.

A draw depends on its key alone: not on the run's id, the device, the process, or what else was drawn before it. So arms
of one seed are paired, equal trainings are equal wherever they run, and a resumed run draws what it would have drawn.
"""

from __future__ import annotations

import hashlib

import torch


def generator(*key: str | int) -> torch.Generator:
    """A CPU generator seeded by `key`, such as (seed, "order", view, epoch).

    Parts are joined with their type and length, so that ("a", "bc") and ("ab", "c") differ.
    """
    text = "".join(f"{type(part).__name__}{len(str(part))}:{part};" for part in key)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


def permutation(count: int, *key: str | int) -> torch.Tensor:
    """int64 [count]: 0..count-1 in the order that `key` draws."""
    return torch.randperm(count, generator=generator(*key))
