"""The hardest samples of a round, with their images, for people to look at: never learned first, then those forgotten
most often; where a round wrote none down, the first of the set that it chose.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

from torch import Tensor

from engine import tensors
from engine.data import Dataset, load
from engine.searches.prac import CEP, CET
from presets.schema import Data
from store.files import object_path
from store.reading import Reader

NEVER = "never learned"
"""Reason of a sample that no epoch got right, as searches write it."""

UNSAID = "in the set"
"""Reason of a sample in a set without reasons: drawn at random, or the set of the round before."""

WHY = {0: UNSAID, CET: "forgotten in training", CEP: "changed by pruning", CET | CEP: "both"}
"""Reasons of a set's file in words."""

_TIMES = re.compile(r"forgotten (\d+) times?")


def gallery(
    db: Path,
    prefix: str,
    files: Path | None = None,
    search: str | None = None,
    seed: int | None = None,
    number: int | None = None,
    count: int = 12,
) -> dict[str, Any]:
    """Up to `count` samples of a round, those hardest in its training and then those of the set that it chose, each
    with index, label, reason, times forgotten (None where unknown) and its image: bytes in base64, of `shape`
    (C, H, W), 255 being white. Without a search, seed or round: the first that has a set, and its last round.

    Raises:
        ValueError: no such set; says which there are.
        StoreError, DataError, OSError: the store, the images or the set's file are not there.
    """
    with Reader(db) as reader:
        run = reader.resolve(prefix)
        row = reader.run(run)
        chosen = _chosen(reader, run, search, seed, number)
        hard = reader.rows(
            "SELECT sample, reason FROM samples WHERE search = ? AND seed = ? AND round = ? ORDER BY member, sample",
            (chosen["search_id"], chosen["seed"], chosen["round"]),
        )
    why = {entry["sample"]: entry["reason"] for entry in sorted(hard, key=lambda entry: _rank(entry["reason"]))}
    if len(why) < count:
        why = why | {
            sample: words for sample, words in _set(files or Path(row["files"]), chosen).items() if sample not in why
        }
    data = load(Data.model_validate(row["spec"]["data"]))
    return {
        "run": run,
        **{name: chosen[name] for name in ("search", "seed", "round", "size")},
        "data": data.name,
        "shape": list(data.shape),
        "samples": [_sample(data, index, words) for index, words in list(why.items())[:count]],
    }


def _chosen(reader: Reader, run: str, search: str | None, seed: int | None, number: int | None) -> dict[str, Any]:
    """The row of the set that is asked for."""
    rows = reader.rows(
        "SELECT s.id AS search_id, s.name AS search, r.seed, r.round, c.size, t.samples FROM sets AS c"
        " JOIN rounds AS r ON r.id = c.round JOIN searches AS s ON s.id = r.search JOIN tickets AS t ON t.round = r.id"
        " WHERE s.run = ? ORDER BY s.id, r.seed, r.round",
        (run,),
    )
    if not rows:
        raise ValueError(f"{run} has no search that chooses samples, or none has ended a round")
    for name, wanted in (("search", search), ("seed", seed), ("round", number)):
        known = list(dict.fromkeys(row[name] for row in rows))
        value = known[-1 if name == "round" else 0] if wanted is None else wanted
        if value not in known:
            raise ValueError(f"no set of {name} {value} (there are: {', '.join(map(str, known))})")
        rows = [row for row in rows if row[name] == value]
    return rows[0]


def _rank(reason: str) -> tuple[bool, int]:
    """What samples are sorted by: never learned first, then by how often they were forgotten."""
    return reason != NEVER, -(_times(reason) or 0)


def _times(reason: str) -> int | None:
    found = _TIMES.fullmatch(reason)
    return int(found[1]) if found else None


def _set(files: Path, chosen: dict[str, Any]) -> dict[int, str]:
    """The samples of a set's file in their order, and why each is in it."""
    if not chosen["samples"]:
        return {}
    held, _ = tensors.read(object_path(files, chosen["samples"]))
    reasons: Tensor | None = held.get("reasons")
    words = [WHY[bits] for bits in reasons.tolist()] if reasons is not None else [UNSAID] * len(held["samples"])
    return dict(zip(held["samples"].tolist(), words, strict=True))


def _sample(data: Dataset, index: int, reason: str) -> dict[str, Any]:
    image = (data.images[index].double() * (255 / data.white)).round().clamp(0, 255).byte()
    return {
        "index": index,
        "label": int(data.labels[index]),
        "reason": reason,
        "forgotten": _times(reason),
        "image": base64.b64encode(image.numpy().tobytes()).decode(),
    }
