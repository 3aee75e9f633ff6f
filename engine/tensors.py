"""Tensors on disk: safetensors files named by their content, and digests that tell equal tensors apart from others.

A mask is stored packed, eight weights a byte. A file appears under its final name only when whole and flushed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor


def digest(tensors: Mapping[str, Tensor]) -> str:
    """16 hex digits of SHA-256 over names, dtypes, shapes and values; equal for equal content in any layout."""
    content = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous()
        content.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        content.update(tensor.view(torch.uint8).numpy().tobytes() if tensor.ndim else tensor.numpy().tobytes())
    return content.hexdigest()[:16]


def pack(mask: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """uint8 tensors of a mask's bits in row-major order, first weight in the lowest bit, and the shapes as metadata.

    One entry of metadata, since safetensors writes several in no fixed order and equal content must give equal bytes.
    """
    bits = {name: torch.from_numpy(np.packbits(keep.numpy(), bitorder="little")) for name, keep in mask.items()}
    return bits, {"packed_shapes": json.dumps({name: list(keep.shape) for name, keep in mask.items()})}


def unpack(bits: Mapping[str, Tensor], metadata: Mapping[str, str]) -> dict[str, Tensor]:
    """The mask that `pack` was given.

    Raises:
        ValueError: bits and shapes do not belong together.
    """
    mask = {}
    for name, shape in json.loads(metadata["packed_shapes"]).items():
        if bits[name].numel() != -(-int(np.prod(shape)) // 8):  # numpy would fill up what is missing
            raise ValueError(f"{name}: {bits[name].numel()} bytes are no mask of the shape {shape}")
        flat = np.unpackbits(bits[name].numpy(), count=int(np.prod(shape)), bitorder="little")
        mask[name] = torch.from_numpy(flat.astype(bool)).view(shape)
    return mask


def encode(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a safetensors file; tensors are laid out contiguously first, as the format demands."""
    return safetensors.save({name: t.detach().contiguous() for name, t in tensors.items()}, dict(metadata or {}))


def write(path: Path, content: bytes, by: str = "") -> None:
    """Write `path` whole or not at all: to another name, flushed, renamed, and the folder flushed, so that a power cut
    does not take the name back.

    `by` is part of that name, and has to tell apart all who may write `path` at once; by default this process.
    """
    made = not path.parent.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(draft_of(path.name, by or str(os.getpid())))
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    for folder in (path.parent, path.parent.parent)[: 1 + made]:
        _flush_folder(folder)


def draft_of(name: str, by: str) -> str:
    """What a file is called while it is written; with "*" for its name, a pattern for all by the same."""
    return f".{name}.{by}"


def _flush_folder(folder: Path) -> None:
    """Have the names in a folder on the disk; not every file system can."""
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def verified(path: Path, sha256: str) -> bytes | None:
    """The content of a file that was written with this SHA-256; None where it is gone, unreadable or damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    return content if hashlib.sha256(content).hexdigest() == sha256 else None


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file, packed masks unpacked."""
    return decode(path.read_bytes())


def decode(content: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata out of the bytes of a safetensors file, packed masks unpacked.

    Raises:
        ValueError: they are no such file, or hold a mask whose bits and shapes do not belong together.
    """
    try:
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        metadata = header.get("__metadata__", {})
        tensors = safetensors.load(content)
        return (unpack(tensors, metadata) if "packed_shapes" in metadata else tensors), metadata
    except (SafetensorError, LookupError, TypeError, AttributeError, RuntimeError, RecursionError) as error:
        raise ValueError(f"no file of tensors: {' '.join(str(error).split())}") from error
